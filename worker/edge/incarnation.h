// One membership of this worker: a uuid, a core and an exchange backend. When the control link is
// lost the incarnation ends, and the next one starts empty, so that nothing old can be taken for
// new. The packed weights stay.
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
  std::unique_ptr<ExchangeBackend> backend;  // the running epoch's
  std::unique_ptr<WorkerCore> core;
};

// The heartbeat to send now. Any thread, as long as the pointers stay valid.
Heartbeat HeartbeatOf(const Incarnation& incarnation);
// The answer to an epoch that was opened on `backend`, or not: with the address of its next one.
ExchangeOpened Opened(Epoch epoch, absl::Status status, ExchangeBackend& backend);

// The name that `auto` stands for, or an error that lists what there is.
absl::StatusOr<std::string> ResolveExchange(const WorkerOptions& options);
absl::StatusOr<std::unique_ptr<ExchangeBackend>> NewBackend(const WorkerOptions& options,
                                                            const std::string& name);

}  // namespace conclave
