#include "coordinator/reconfig/commit.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "coordinator/admission.h"
#include "coordinator/reconfig/lose_worker.h"
#include "coordinator/resume.h"
#include "coordinator/streams.h"

namespace conclave {
namespace {

void DismissLeavers(CoordinatorState& state, const Preparing& prepared, CoordinatorOutbox& outbox) {
  std::vector<LinkId> leavers;
  for (const auto& [id, link] : state.membership.links()) {
    const bool stays = std::ranges::find(prepared.members, id, &Preparing::Member::link) !=
                       prepared.members.end();
    if (link.member && !stays) leavers.push_back(id);
  }
  for (const LinkId id : leavers) DismissWorker(state, id, outbox);
}

void InstallMembers(CoordinatorState& state, const Preparing& prepared, CoordinatorOutbox& outbox) {
  state.live.clear();
  for (const Preparing::Member& member : prepared.members) {
    WorkerLink* link = state.membership.Find(member.link);
    CONCLAVE_CHECK(link != nullptr, "a member of the prepared epoch is gone");
    auto& home = state.homes[static_cast<std::size_t>(link->slot.value)];
    if (!link->member) {
      home = std::make_unique<Home>(link->hello, link->slot, link->id, state.config.prefix_cache);
    }
    link->member = true;
    state.live.push_back(link->slot);
    outbox.push_back(TellWorker{
        link->id, Commit{prepared.prepare.epoch, StepId{state.step_planned.value + 1}}});
  }
}

// A request that fitted the workers that were there may not fit those that are.
void EndMisfits(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  std::int64_t blocks_max = 0;
  for (const Slot slot : state.live) {
    blocks_max = std::max<std::int64_t>(blocks_max, state.HomeAt(slot).blocks.total());
  }
  for (const RequestId id : state.requests.All()) {
    Request& request = *state.requests.Find(id);
    std::optional<Ending> misfit = FitToKv(request, blocks_max);
    if (!misfit.has_value()) continue;
    if (misfit->end == End::kRefused && request.usage.completion_tokens > 0) {
      misfit = Ending{.end = End::kUnavailable,
                      .message = "the workers that are left have too little KV memory for it"};
    }
    EndRequest(state, request, now, *std::move(misfit), outbox);
  }
}

void RecordChange(Reconfig& reconfig, Epoch epoch, Micros now) {
  const ChangeKind kind = reconfig.cause.kind;
  const Micros pause = now - reconfig.stopped_since.value_or(now);
  const Micros total = now - reconfig.change_since.value_or(now);
  reconfig.last_epoch_micros = total;
  reconfig.last_epoch_cause = std::exchange(reconfig.cause.text, {});
  if (reconfig.recent.size() == kRecentChangesMax) reconfig.recent.erase(reconfig.recent.begin());
  reconfig.recent.push_back({.epoch = epoch,
                             .kind = kind,
                             .cause = reconfig.last_epoch_cause,
                             .at = now,
                             .pause = pause,
                             .total = total});
  ++reconfig.changes[static_cast<std::size_t>(kind)];
  const auto bound = std::ranges::lower_bound(kPauseBounds, pause);
  ++reconfig.pauses.counts[static_cast<std::size_t>(bound - std::begin(kPauseBounds))];
  reconfig.pauses.sum += pause;
}

// Nothing of what led to this epoch matters any more.
void ForgetAttempts(Reconfig& reconfig, bool staged) {
  reconfig.experts_lost = false;
  reconfig.unready_since.reset();
  reconfig.stopped_since.reset();
  reconfig.change_since.reset();
  reconfig.not_ready_because.clear();
  reconfig.attempts_without_commit = 0;
  if (!staged) return;
  reconfig.retry_pause = 0;
  reconfig.given_up.clear();
}

}  // namespace

void CommitEpoch(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  Reconfig& reconfig = state.reconfig;
  Preparing prepared = std::move(*reconfig.preparing_state());
  reconfig.state = Serving{};
  DismissLeavers(state, prepared, outbox);
  for (const Slot slot : state.live) RollBack(state, slot);
  state.in_flight.clear();
  InstallMembers(state, prepared, outbox);
  reconfig.placement_is_repair = !prepared.staged && state.epoch.value > 0;
  state.epoch = prepared.prepare.epoch;
  state.placement = std::move(prepared.prepare.placement);
  CONCLAVE_CHECK(state.placement.Complete(), "an expert without owner");
  reconfig.proposed_placement = state.placement;
  RecordChange(reconfig, state.epoch, now);
  ForgetAttempts(reconfig, prepared.staged);
  Log(outbox, LogLine::Level::kInfo,
      absl::StrCat("epoch ", state.epoch.value, ": committed with ", state.live.size(),
                   " workers after ", reconfig.last_epoch_micros, " us, steps stood still for ",
                   reconfig.recent.back().pause, " us"));
  EndMisfits(state, now, outbox);
  reconfig.NoteMembersChanged(now);
}

}  // namespace conclave
