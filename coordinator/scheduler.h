// What the next step runs, in this order: decode rows; what is missing of answers that have begun,
// running or in the queue (their worker was lost, or their blocks); chunks of prompts already
// begun; sequences opened from the queue; sequences that move (moves.h). Each in the order of
// arrival, within the budgets of the step and of every worker. Nothing here waits, sends or reads a
// clock.
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
