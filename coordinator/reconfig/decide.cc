#include "coordinator/reconfig/decide.h"

#include "base/check.h"

namespace conclave {
namespace {

using Stage = StagedReconfiguration::Stage;

Transition DecideGathering(const ReconfigView& view, Micros now) {
  if (view.idle_leavers) return Transition::kDismissIdle;
  const bool fewer = view.fewer_workers_at.has_value() && now >= *view.fewer_workers_at;
  return view.change_due || fewer ? Transition::kProposeAtOnce : Transition::kNone;
}

Transition DecidePreparing(const ReconfigView& view, Micros now) {
  if (view.late_until.has_value() && now > *view.late_until) return Transition::kDropLate;
  if (view.answers_missing > 0) return Transition::kNone;
  if (view.answers_failed == 0) return Transition::kCommit;
  return view.prepared_staged ? Transition::kAbandonPrepared : Transition::kProposeAtOnce;
}

Transition DecideStaged(const ReconfigView& view, Micros now) {
  switch (*view.stage) {
    case Stage::kLoading:
      if (view.stage_failed) return Transition::kJudgeLoads;
      if (view.stage_answers_missing == 0) return Transition::kConnect;
      return now > view.stage_until ? Transition::kJudgeLoads : Transition::kNone;
    case Stage::kConnecting:
      if (view.stage_answers_missing == 0) return Transition::kJudgeConnections;
      return now > view.stage_until ? Transition::kJudgeConnections : Transition::kNone;
    case Stage::kMoving:
      return view.sequences_to_move ? Transition::kNone : Transition::kStopPlanning;
    case Stage::kStopping:
      return view.steps_in_flight || view.broken ? Transition::kNone : Transition::kPrepareStaged;
  }
  return Transition::kNone;
}

Transition DecideServing(const ReconfigView& view, Micros now) {
  if (view.idle_leavers) return Transition::kDismissIdle;
  if (view.broken && (view.broken_reported_by_all || now > view.broken_until)) {
    return Transition::kReformAfterBreak;
  }
  if (view.stage.has_value()) return DecideStaged(view, now);
  return view.change_due && now >= view.retry_at ? Transition::kConsiderChange : Transition::kNone;
}

}  // namespace

Transition Decide(const ReconfigView& view, Micros now) {
  if (view.forced) return Transition::kProposeAtOnce;
  switch (view.phase) {
    case ReconfigView::Phase::kGathering:
      return DecideGathering(view, now);
    case ReconfigView::Phase::kPreparing:
      return DecidePreparing(view, now);
    case ReconfigView::Phase::kServing:
      return DecideServing(view, now);
  }
  return Transition::kNone;
}

}  // namespace conclave
