#include "worker/step.h"

namespace conclave {

absl::Status ForEachPeer(StepContext& step, absl::FunctionRef<absl::Status(int peer)> work) {
  const int peers = step.epoch->peers();
  const int self = step.epoch->self();
  step.lanes.Run([&](const Lane& lane) {
    for (std::int64_t at = lane.Take(); at < peers; at = lane.Take()) {
      const auto peer = static_cast<int>(at);
      step.peer_status[static_cast<std::size_t>(peer)] =
          peer == self ? absl::OkStatus() : work(peer);
    }
  });
  for (int peer = 0; peer < peers; ++peer) {
    const absl::Status& status = step.peer_status[static_cast<std::size_t>(peer)];
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace conclave
