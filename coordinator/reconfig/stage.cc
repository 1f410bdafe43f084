#include "coordinator/reconfig/stage.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "coordinator/reconfig/drain.h"
#include "coordinator/reconfig/give_up.h"
#include "coordinator/reconfig/lose_worker.h"
#include "coordinator/reconfig/propose.h"

namespace conclave {
namespace {

using Staged = StagedReconfiguration;

Micros LateUntil(const CoordinatorState& state, const Staged& staged,
                 const Staged::Member& member) {
  const Micros since = std::max(staged.stage_since, state.listening_since);
  const WorkerLink* link = state.membership.Find(member.link);
  CONCLAVE_CHECK(link != nullptr, "a member of the staged epoch is gone");
  return std::max(link->loaded, since) + state.config.load_limit;
}

ChangeCause CauseOf(const CoordinatorState& state, const EpochProposal& proposal,
                    const std::vector<LinkId>& leavers) {
  ChangeCause cause{.kind = ChangeKind::kRebalance,
                    .text = state.reconfig.rebalance_wanted
                                ? "experts are placed by load"
                                : "experts are spread again after a loss"};
  std::vector<std::string> causes;
  for (const WorkerLink* link : proposal.workers) {
    if (link->member) continue;
    cause.kind = ChangeKind::kJoin;
    causes.push_back(absl::StrCat("slot ", link->slot.value, " joins from ", link->hello.address));
  }
  for (const LinkId id : leavers) {
    cause.kind = ChangeKind::kLeave;
    causes.push_back(absl::StrCat("slot ", state.membership.Find(id)->slot.value, " leaves"));
  }
  if (!causes.empty()) cause.text = absl::StrJoin(causes, ", ");
  return cause;
}

void SendLoad(CoordinatorState& state, EpochProposal proposal, ChangeCause cause, Micros now,
              CoordinatorOutbox& outbox) {
  Staged staged;
  staged.epoch = state.reconfig.NextEpoch();
  staged.placement = std::move(proposal.placement);
  staged.cause = std::move(cause);
  for (const WorkerLink* link : proposal.workers) {
    staged.members.push_back({.link = link->id, .slot = link->slot, .newcomer = !link->member});
  }
  staged.Enter(Staged::Stage::kLoading, now);
  for (const Staged::Member& member : staged.members) {
    outbox.push_back(TellWorker{member.link, Load{.epoch = staged.epoch,
                                                  .slot = member.slot,
                                                  .placement = staged.placement}});
  }
  Log(outbox, LogLine::Level::kInfo,
      absl::StrCat("epoch ", staged.epoch.number, ": load beside the running epoch, ",
                   staged.members.size(), " workers, because ", staged.cause.text));
  state.reconfig.serving_state()->staged = std::move(staged);
  state.reconfig.serving_state()->preloaded.reset();
}

bool HasNewcomers(const CoordinatorState& state) {
  return std::ranges::any_of(state.membership.Greeted(), [](const WorkerLink* link) {
    return !link->member && !link->draining;
  });
}

// Nobody comes or leaves: experts are spread again after a loss, or placed by load, if that changes
// where they are.
void ConsiderSpreading(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  Reconfig& reconfig = state.reconfig;
  if (reconfig.placement_is_repair || reconfig.rebalance_wanted) {
    EpochProposal proposal = ProposeRebalance(state);
    if (proposal.placement != state.placement) {
      ChangeCause cause = CauseOf(state, proposal, {});
      reconfig.rebalance_wanted = false;
      return SendLoad(state, std::move(proposal), std::move(cause), now, outbox);
    }
  }
  reconfig.rebalance_wanted = false;
  reconfig.placement_is_repair = false;
  reconfig.change_since.reset();
}

}  // namespace

void ConsiderChange(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  Reconfig& reconfig = state.reconfig;
  reconfig.change_due = false;
  const std::vector<LinkId> leavers = DecideDrains(state, now).allowed;
  if (leavers.empty() && !HasNewcomers(state)) return ConsiderSpreading(state, now, outbox);
  absl::StatusOr<EpochProposal> proposal = ProposePlanned(state, leavers);
  if (!proposal.ok()) {
    GiveUpChange(state, now, std::string(proposal.status().message()), outbox);
    return;
  }
  ChangeCause cause = CauseOf(state, *proposal, leavers);
  SendLoad(state, *std::move(proposal), std::move(cause), now, outbox);
}

void TakeLoaded(CoordinatorState& state, WorkerLink& link, Micros now, const Loaded& loaded,
                CoordinatorOutbox& outbox) {
  if (loaded.epoch > state.reconfig.highest_proposed) {
    DropWorker(state, link.id, now, "Loaded for an epoch that was never proposed", outbox);
    return;
  }
  if (loaded.expert_bytes > 0) link.expert_bytes = loaded.expert_bytes;
  Staged* staged = state.reconfig.staged();
  if (staged == nullptr || loaded.epoch != staged->epoch ||
      staged->stage != Staged::Stage::kLoading) {
    return;
  }
  Staged::Member* member = staged->MemberOf(link.id);
  if (member == nullptr || member->answered) return;
  member->answered = true;
  member->address = loaded.address;
  if (!loaded.ok) member->error = absl::StrCat("cannot load: ", loaded.error);
}

Micros LoadLateUntil(const CoordinatorState& state) {
  const Staged& staged = *state.reconfig.staged();
  Micros first = std::numeric_limits<Micros>::max();
  for (const Staged::Member& member : staged.members) {
    if (!member.answered) first = std::min(first, LateUntil(state, staged, member));
  }
  return first;
}

// One is judged at a time: without it, the rest is another change, and begins anew.
void JudgeLoads(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  const Staged& staged = *state.reconfig.staged();
  const auto failed = std::ranges::find_if(staged.members, [&](const Staged::Member& member) {
    return !member.error.empty() ||
           (!member.answered && state.ticked > LateUntil(state, staged, member));
  });
  if (failed == staged.members.end()) return;
  const Staged::Member member = *failed;
  const std::string why = !member.error.empty()
                              ? member.error
                              : absl::StrCat("has not loaded anything for ",
                                             state.config.load_limit / 1'000'000, " s");
  if (member.newcomer) {
    RefuseWorker(state, member.link, now, why, outbox);
  } else {
    GiveUpChange(state, now, absl::StrCat("slot ", member.slot.value, " ", why), outbox);
  }
}

}  // namespace conclave
