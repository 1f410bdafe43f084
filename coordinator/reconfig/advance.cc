#include "coordinator/reconfig/advance.h"

#include <algorithm>

#include "base/check.h"
#include "base/limits.h"
#include "coordinator/reconfig/broken_step.h"
#include "coordinator/reconfig/commit.h"
#include "coordinator/reconfig/connect.h"
#include "coordinator/reconfig/drain.h"
#include "coordinator/reconfig/gather.h"
#include "coordinator/reconfig/move.h"
#include "coordinator/reconfig/prepare.h"
#include "coordinator/reconfig/propose.h"
#include "coordinator/reconfig/stage.h"

namespace conclave {
namespace {

using Stage = StagedReconfiguration::Stage;

// Transitions that one event can cause: each worker can fail in one of them, a few times over.
constexpr int kTransitionsMax = 8 * kSlotsMax;

void ViewGathering(const CoordinatorState& state, const Gathering& gathering, ReconfigView& view) {
  view.phase = ReconfigView::Phase::kGathering;
  if (!gathering.tried_with_fewer_workers) view.fewer_workers_at = FewerWorkersWillDoAt(state);
}

void ViewPreparing(const CoordinatorState& state, const Preparing& preparing, ReconfigView& view) {
  view.phase = ReconfigView::Phase::kPreparing;
  view.prepared_staged = preparing.staged;
  for (const Preparing::Member& member : preparing.members) {
    if (member.answer == Preparing::Answer::kFailed) ++view.answers_failed;
    if (member.answer != Preparing::Answer::kPending) continue;
    ++view.answers_missing;
    const Micros until = PrepareLateUntil(state, *state.membership.Find(member.link));
    view.late_until = std::min(view.late_until.value_or(until), until);
  }
}

void ViewStaged(const CoordinatorState& state, const StagedReconfiguration& staged,
                ReconfigView& view) {
  view.stage = staged.stage;
  for (const StagedReconfiguration::Member& member : staged.members) {
    if (!member.answered) ++view.stage_answers_missing;
    if (staged.stage == Stage::kLoading && !member.error.empty()) view.stage_failed = true;
  }
  if (staged.stage == Stage::kLoading) view.stage_until = LoadLateUntil(state);
  if (staged.stage == Stage::kConnecting) {
    view.stage_until =
        std::max(staged.stage_since, state.listening_since) + state.config.connect_limit;
  }
  if (staged.stage == Stage::kMoving) {
    view.sequences_to_move = HasSequencesToMove(state, state.ticked);
  }
}

void ViewServing(const CoordinatorState& state, const Serving& serving, ReconfigView& view) {
  view.phase = ReconfigView::Phase::kServing;
  view.steps_in_flight = !state.in_flight.empty();
  if (serving.broken.has_value()) {
    const BrokenStep& broken = *serving.broken;
    view.broken = true;
    view.broken_reported_by_all = std::ranges::all_of(
        state.live, [&](Slot slot) { return broken.reported_by.Has(slot); });
    view.broken_until =
        std::max(broken.since, state.listening_since) + state.config.evidence_wait;
  }
  if (serving.staged.has_value()) ViewStaged(state, *serving.staged, view);
}

void CarryOut(CoordinatorState& state, Transition transition, Micros now,
              CoordinatorOutbox& outbox) {
  switch (transition) {
    case Transition::kNone:
      return;
    case Transition::kProposeAtOnce:
      return ProposeAtOnce(state, now, outbox);
    case Transition::kDismissIdle:
      return DismissIdleLeavers(state, outbox);
    case Transition::kDropLate:
      return DropLate(state, now, outbox);
    case Transition::kCommit:
      return CommitEpoch(state, now, outbox);
    case Transition::kAbandonPrepared:
      return AbandonPrepared(state, now, outbox);
    case Transition::kReformAfterBreak:
      return ReformAfterBreak(state);
    case Transition::kConsiderChange:
      return ConsiderChange(state, now, outbox);
    case Transition::kJudgeLoads:
      return JudgeLoads(state, now, outbox);
    case Transition::kConnect:
      return SendConnect(state, now, outbox);
    case Transition::kJudgeConnections:
      return JudgeConnections(state, now, outbox);
    case Transition::kStopPlanning:
      return StopPlanning(state, now);
    case Transition::kPrepareStaged:
      return PrepareStaged(state, now, outbox);
  }
}

}  // namespace

ReconfigView ViewOf(const CoordinatorState& state) {
  const Reconfig& reconfig = state.reconfig;
  ReconfigView view{.forced = reconfig.forced.has_value(),
                    .change_due = reconfig.change_due,
                    .retry_at = reconfig.retry_at};
  // Members may be gone that the state still names, and nothing else matters.
  if (view.forced) return view;
  if (const auto* gathering = std::get_if<Gathering>(&reconfig.state)) {
    ViewGathering(state, *gathering, view);
  } else if (const Preparing* preparing = reconfig.preparing_state()) {
    ViewPreparing(state, *preparing, view);
    return view;
  } else {
    ViewServing(state, *reconfig.serving_state(), view);
  }
  view.idle_leavers = HasIdleLeavers(state);
  return view;
}

void AdvanceReconfig(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox) {
  for (int i = 0; i < kTransitionsMax; ++i) {
    DecideDrains(state, now);
    const Transition next = Decide(ViewOf(state), state.ticked);
    if (next == Transition::kNone) return;
    CarryOut(state, next, now, outbox);
  }
  CONCLAVE_CHECK(false, "the membership machine does not come to rest");
}

}  // namespace conclave
