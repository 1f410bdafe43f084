#include "coordinator/schedule/plan_step.h"

#include <utility>
#include <vector>

#include "coordinator/schedule/decode.h"
#include "coordinator/schedule/migrate.h"
#include "coordinator/schedule/prefill.h"
#include "coordinator/schedule/step_draft.h"

namespace conclave {
namespace {

// Running requests by what they lack, each list oldest first. Pointers stay good while a step is
// planned, but a request in a list may be put back into the queue.
struct Running {
  std::vector<Request*> decoding, answers, prompts;
};

Running Sort(const RequestTable& requests) {
  Running lists;
  lists.decoding.reserve(requests.running().size());
  for (Request* request : requests.running()) {
    switch (LackOf(*request)) {
      case Lack::kNextToken:
        lists.decoding.push_back(request);
        break;
      case Lack::kAnswer:
        lists.answers.push_back(request);
        break;
      case Lack::kPrompt:
        lists.prompts.push_back(request);
        break;
    }
  }
  return lists;
}

}  // namespace

std::optional<StepPlan> PlanStep(CoordinatorState& state, Micros now) {
  StepDraft draft(state, now);
  AdvanceMoves(draft);
  Running running = Sort(state.requests);
  PlanDecode(draft, running.decoding);
  draft.SetCostLimits();
  ReserveMoves(draft);
  PlanRecompute(draft, running.answers);
  StartMoves(draft);
  PlanPrefill(draft, std::move(running.prompts));
  PlanMoves(draft);
  return draft.Finish();
}

}  // namespace conclave
