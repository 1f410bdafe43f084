#include "worker/edge/incarnation.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "worker/edge/machine.h"

namespace conclave {

Heartbeat HeartbeatOf(const Incarnation& incarnation) {
  const ExchangeWait wait = incarnation.backend->Waiting();
  return {.epoch = incarnation.core->epoch(),
          .progress = incarnation.core->progress(),
          .busy = incarnation.core->busy(),
          .rss_bytes = ResidentBytes(),
          .exchange = wait.exchange,
          .waits_for = wait.missing,
          .looks = wait.looks};
}

// An epoch that did not open has used its address up, too.
ExchangeOpened Opened(Epoch epoch, absl::Status status, ExchangeBackend& backend) {
  ExchangeOpened opened{epoch, std::move(status), {}};
  absl::StatusOr<std::string> standby = backend.StandbyAddress();
  opened.status.Update(standby.status());
  if (standby.ok()) opened.standby_address = *std::move(standby);
  return opened;
}

absl::StatusOr<std::string> ResolveExchange(const WorkerOptions& options) {
  const std::vector<std::string> here = ExchangeBackendsHere();
  const auto built = [&here](const std::string& name) {
    return std::find(here.begin(), here.end(), name) != here.end();
  };
  if (options.exchange == "auto") {
    return std::string(options.hub != nullptr ? "local" : built("ucx") ? "ucx" : "local");
  }
  if (!built(options.exchange)) {
    return absl::FailedPreconditionError(absl::StrCat("--exchange ", options.exchange,
                                                      ": not built here; there is: auto, ",
                                                      absl::StrJoin(here, ", ")));
  }
  return options.exchange;
}

absl::StatusOr<std::unique_ptr<ExchangeBackend>> NewBackend(const WorkerOptions& options,
                                                            const std::string& name) {
  if (name == "ucx") return NewUcxBackend(options.ucx);
  if (name == "local" && options.hub != nullptr) return options.hub->NewBackend();
  return absl::FailedPreconditionError(
      absl::StrCat("--exchange ", name, ": only for workers within one process"));
}

}  // namespace conclave
