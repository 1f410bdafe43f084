// One membership of this worker: a uuid, a core, an exchange backend. A lost link ends it; the next
// one starts empty, so that nothing old can be taken for new. Weights stay.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "exchange/exchange.h"
#include "worker/core.h"
#include "worker/edge/worker_runner.h"

namespace conclave {

struct Incarnation {
  std::string uuid;
  std::unique_ptr<ExchangeBackend> backend;
  std::unique_ptr<WorkerCore> core;
};

// The name that `auto` stands for, or an error that lists what there is.
absl::StatusOr<std::string> ResolveExchange(const WorkerOptions& options);
absl::StatusOr<std::unique_ptr<ExchangeBackend>> NewBackend(const WorkerOptions& options,
                                                            const std::string& name);

}  // namespace conclave
