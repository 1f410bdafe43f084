#include "coordinator/reconfig/decide.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace conclave {
namespace {

using Phase = ReconfigView::Phase;
using Stage = StagedReconfiguration::Stage;

constexpr Micros kNow = 1000;
constexpr Micros kPast = 999;
constexpr Micros kFuture = 1001;

struct Case {
  std::string what;
  ReconfigView view;
  Transition expected;
};

void Check(const std::vector<Case>& cases) {
  for (const Case& one : cases) {
    EXPECT_EQ(static_cast<int>(Decide(one.view, kNow)), static_cast<int>(one.expected))
        << one.what;
  }
}

ReconfigView Gathered() { return {.phase = Phase::kGathering, .fewer_workers_at = kFuture}; }

ReconfigView Prepared(int missing, int failed) {
  return {.phase = Phase::kPreparing,
          .answers_missing = missing,
          .answers_failed = failed,
          .late_until = missing > 0 ? std::optional(kFuture) : std::nullopt};
}

ReconfigView Served() { return {.phase = Phase::kServing, .steps_in_flight = true}; }

ReconfigView Staged(Stage stage, int missing) {
  ReconfigView view = Served();
  view.stage = stage;
  view.stage_answers_missing = missing;
  view.stage_until = kFuture;
  return view;
}

template <class Change>
ReconfigView With(ReconfigView view, Change change) {
  change(view);
  return view;
}

TEST(Decide, ALossComesBeforeEverythingElse) {
  const auto forced = [](ReconfigView& view) {
    view.forced = true;
    view.idle_leavers = true;
    view.broken = true;
  };
  Check({
      {"while gathering", With(Gathered(), forced), Transition::kProposeAtOnce},
      {"while answers are missing", With(Prepared(2, 0), forced), Transition::kProposeAtOnce},
      {"when all are ready", With(Prepared(0, 0), forced), Transition::kProposeAtOnce},
      {"while serving", With(Served(), forced), Transition::kProposeAtOnce},
      {"beside a staged change", With(Staged(Stage::kLoading, 0), forced),
       Transition::kProposeAtOnce},
  });
}

TEST(Decide, Gathering) {
  Check({
      {"nothing has changed", Gathered(), Transition::kNone},
      {"somebody came", With(Gathered(), [](auto& view) { view.change_due = true; }),
       Transition::kProposeAtOnce},
      {"nobody came for long", With(Gathered(), [](auto& view) { view.fewer_workers_at = kNow; }),
       Transition::kProposeAtOnce},
      {"that was tried", With(Gathered(), [](auto& view) { view.fewer_workers_at.reset(); }),
       Transition::kNone},
      {"a pause of planned changes does not matter", With(Gathered(),
                                                          [](auto& view) {
                                                            view.change_due = true;
                                                            view.retry_at = kFuture;
                                                          }),
       Transition::kProposeAtOnce},
      {"those that end anyway go first", With(Gathered(),
                                              [](auto& view) {
                                                view.idle_leavers = true;
                                                view.change_due = true;
                                              }),
       Transition::kDismissIdle},
  });
}

TEST(Decide, Preparing) {
  const auto staged = [](ReconfigView& view) { view.prepared_staged = true; };
  Check({
      {"an answer is missing", Prepared(1, 0), Transition::kNone},
      {"all are ready", Prepared(0, 0), Transition::kCommit},
      {"all are ready for a staged epoch", With(Prepared(0, 0), staged), Transition::kCommit},
      {"one failed, others may still answer", Prepared(1, 1), Transition::kNone},
      {"one failed: again, with its new address", Prepared(0, 1), Transition::kProposeAtOnce},
      {"one failed to switch to a staged epoch", With(Prepared(0, 1), staged),
       Transition::kAbandonPrepared},
      {"one is in time to the last moment",
       With(Prepared(1, 0), [](auto& view) { view.late_until = kNow; }), Transition::kNone},
      {"one is late", With(Prepared(1, 0), [](auto& view) { view.late_until = kPast; }),
       Transition::kDropLate},
      {"a change that is due waits", With(Prepared(1, 0), [](auto& view) { view.change_due = true; }),
       Transition::kNone},
  });
}

TEST(Decide, ServingWithNothingStaged) {
  Check({
      {"nothing to do", Served(), Transition::kNone},
      {"a change is due", With(Served(), [](auto& view) { view.change_due = true; }),
       Transition::kConsiderChange},
      {"it was given up a moment ago", With(Served(),
                                            [](auto& view) {
                                              view.change_due = true;
                                              view.retry_at = kFuture;
                                            }),
       Transition::kNone},
      {"it may be tried again", With(Served(),
                                     [](auto& view) {
                                       view.change_due = true;
                                       view.retry_at = kNow;
                                     }),
       Transition::kConsiderChange},
      {"workers that end have nothing to wait for",
       With(Served(), [](auto& view) { view.idle_leavers = true; }), Transition::kDismissIdle},
  });
}

TEST(Decide, ABrokenStepWaitsForNewsAShortWhile) {
  const auto broken = [](Micros until) {
    return [until](ReconfigView& view) {
      view.broken = true;
      view.broken_until = until;
    };
  };
  const auto all = [](ReconfigView& view) { view.broken_reported_by_all = true; };
  Check({
      {"news may come", With(Served(), broken(kNow)), Transition::kNone},
      {"none came", With(Served(), broken(kPast)), Transition::kReformAfterBreak},
      {"everybody is there to report it", With(With(Served(), broken(kFuture)), all),
       Transition::kReformAfterBreak},
      {"a staged change goes on meanwhile", With(Staged(Stage::kLoading, 0), broken(kFuture)),
       Transition::kConnect},
      {"but does not take over", With(With(Staged(Stage::kStopping, 0), broken(kFuture)),
                                      [](auto& view) { view.steps_in_flight = false; }),
       Transition::kNone},
  });
}

TEST(Decide, AStagedChangeGoesThroughItsStages) {
  const auto late = [](ReconfigView& view) { view.stage_until = kPast; };
  Check({
      {"one still loads", Staged(Stage::kLoading, 1), Transition::kNone},
      {"one could not load", With(Staged(Stage::kLoading, 1), [](auto& view) {
         view.stage_failed = true;
       }), Transition::kJudgeLoads},
      {"one could not load and all have answered", With(Staged(Stage::kLoading, 0), [](auto& view) {
         view.stage_failed = true;
       }), Transition::kJudgeLoads},
      {"one is late", With(Staged(Stage::kLoading, 1), late), Transition::kJudgeLoads},
      {"all have loaded", Staged(Stage::kLoading, 0), Transition::kConnect},
      {"one still connects", Staged(Stage::kConnecting, 1), Transition::kNone},
      {"all have connected or failed", Staged(Stage::kConnecting, 0),
       Transition::kJudgeConnections},
      {"the time to connect is over", With(Staged(Stage::kConnecting, 1), late),
       Transition::kJudgeConnections},
      {"sequences still move", With(Staged(Stage::kMoving, 2),
                                    [](auto& view) { view.sequences_to_move = true; }),
       Transition::kNone},
      {"nothing is left to move", Staged(Stage::kMoving, 2), Transition::kStopPlanning},
      {"steps are under way", Staged(Stage::kStopping, 2), Transition::kNone},
      {"all steps have ended", With(Staged(Stage::kStopping, 2),
                                    [](auto& view) { view.steps_in_flight = false; }),
       Transition::kPrepareStaged},
      {"another change that is due waits", With(Staged(Stage::kLoading, 1),
                                                [](auto& view) { view.change_due = true; }),
       Transition::kNone},
  });
}

}  // namespace
}  // namespace conclave
