#include "coordinator/reconfig/gather.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/reconfig/prepare.h"
#include "coordinator/reconfig/propose.h"

namespace conclave {
namespace {

void EnterGathering(CoordinatorState& state, Micros now, std::string why, bool tried_with_fewer,
                    CoordinatorOutbox& outbox) {
  Reconfig& reconfig = state.reconfig;
  if (reconfig.experts_lost) {
    if (const std::string missing = ExpertsWithoutOwner(state); !missing.empty()) {
      absl::StrAppend(&why, "; ", missing);
    }
  }
  const auto* before = std::get_if<Gathering>(&reconfig.state);
  const bool news = before == nullptr || reconfig.not_ready_because != why;
  if (before != nullptr) tried_with_fewer |= before->tried_with_fewer_workers;
  reconfig.state = Gathering{.tried_with_fewer_workers = tried_with_fewer};
  if (!reconfig.unready_since.has_value()) reconfig.unready_since = now;
  reconfig.not_ready_because = std::move(why);
  if (!news) return;
  Log(outbox, LogLine::Level::kInfo, absl::StrCat("not serving: ", reconfig.not_ready_because));
}

// The committed epoch, or the one that was being prepared, ends here.
void TakeForcedCause(CoordinatorState& state, Micros now) {
  Reconfig& reconfig = state.reconfig;
  if (!reconfig.forced.has_value()) return;
  if (reconfig.serving()) reconfig.change_since = now;
  if (!reconfig.stopped_since.has_value()) reconfig.stopped_since = now;
  reconfig.cause = *std::exchange(reconfig.forced, std::nullopt);
  if (state.epoch.value == 0) reconfig.cause.kind = ChangeKind::kStart;
}

}  // namespace

void ProposeAtOnce(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  TakeForcedCause(state, now);
  state.reconfig.change_due = false;
  const bool fewer_will_do = now >= FewerWorkersWillDoAt(state);
  absl::StatusOr<EpochProposal> proposal = ProposeAfterLoss(state, fewer_will_do);
  if (!proposal.ok()) {
    EnterGathering(state, now, std::string(proposal.status().message()), fewer_will_do, outbox);
    return;
  }
  Preparing preparing;
  preparing.prepare.epoch = state.reconfig.NextEpoch(state.epoch);
  preparing.prepare.placement = std::move(proposal->placement);
  state.reconfig.proposed_placement = preparing.prepare.placement;
  for (const WorkerLink* link : proposal->workers) {
    preparing.prepare.peers.push_back({link->slot, link->hello.uuid, link->standby_address});
    preparing.members.push_back({link->id, link->standby_address});
  }
  SendPrepare(state, std::move(preparing), now, outbox);
}

}  // namespace conclave
