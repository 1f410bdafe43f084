// The driver of the membership machine.
#pragma once

#include "coordinator/reconfig/decide.h"
#include "coordinator/state.h"

namespace conclave {

// Carries out whatever follows from what the last event recorded. Call after every event, before
// anything is planned.
void AdvanceReconfig(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox);

// What Decide looks at.
ReconfigView ViewOf(const CoordinatorState& state);

}  // namespace conclave
