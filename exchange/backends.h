// Making backends: the only words about exchange/backend/ that a root needs.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "exchange/exchange.h"

namespace conclave {

// Workers that are threads of one process meet in a hub. Outlives its backends.
class LocalHub {
 public:
  LocalHub();
  ~LocalHub();
  std::unique_ptr<ExchangeBackend> NewBackend();
  class State;

 private:
  std::shared_ptr<State> state_;
};

// Shared memory, TCP, RDMA: whatever UCX finds. FailedPrecondition when built without UCX,
// or when no interface has the address to bind to.
struct UcxOptions {
  std::string transports;  // empty: UCX's choice; else e.g. "tcp"
  // Numeric address of the interface to listen on and to send from. "0.0.0.0": every interface.
  // UCX authenticates nobody, so the default is not reachable from other machines.
  std::string bind = "127.0.0.1";
  bool yield_when_idle =
      true;  // give the core away on every idle poll: needed when ranks outnumber cores
};
absl::StatusOr<std::unique_ptr<ExchangeBackend>> NewUcxBackend(const UcxOptions& options);

std::vector<std::string> ExchangeBackendsHere();  // names built in, e.g. {"local", "ucx"}

}  // namespace conclave
