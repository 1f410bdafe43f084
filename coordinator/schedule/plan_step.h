// What the next step runs, in this order:
//   1. decode rows: the next token of every answer that lacks nothing else, always all of them;
//   2. what is missing of answers that have begun: their worker was lost, or their blocks;
//   3. prompts, spread over the workers so that each is full while prompts wait (prefill.h);
//   4. what migrating sequences lack on their next worker, within an allowance of their own.
// Each in the order of arrival, within what every worker may be given (budget.h). How much that is
// was learned from earlier steps (step_time.h): a step with decode rows keeps to a time. Nothing here
// waits, sends or reads a clock.
//
// A sequence that needs a KV block when its worker has none takes it from one that is moving there,
// then from the youngest sequence there that this plan has not touched; if that is itself, it sits
// this step out. So the oldest always gets on.
#pragma once

#include <optional>

#include "coordinator/state.h"
#include "protocol/plan.h"

namespace conclave {

// The next plan, or nothing when there is nothing to run; requests, blocks and `in_flight` of the
// state are moved on as if it had been sent.
std::optional<StepPlan> PlanStep(CoordinatorState& state, Micros now);

}  // namespace conclave
