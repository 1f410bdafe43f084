// A planned change - a worker joins or leaves, experts are spread again - is staged beside the
// committed epoch, so that service pauses for two control messages only
// (docs/decisions/0007-change-over.md). First everybody who will take part loads its experts.
//
// A newcomer that fails, is silent or cannot be reached is refused with the reason, and the others
// go on under a fresh number. If members fail, the change is given up and tried again after a
// pause. If a member is lost, what was staged is discarded: an epoch is made at once. Those who
// come or want to leave meanwhile wait for the next change, right after this one.
#pragma once

#include "coordinator/state.h"

namespace conclave {

// Stages the change that is due, if one is needed and possible.
void ConsiderChange(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox);

void TakeLoaded(CoordinatorState& state, WorkerLink& link, Micros now, const Loaded& loaded,
                CoordinatorOutbox& outbox);

// The time after which the first of the members that still load is late: for too long it has not
// held more than before. Never, if all have loaded.
Micros LoadLateUntil(const CoordinatorState& state);
// A member failed to load, or is late.
void JudgeLoads(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox);

}  // namespace conclave
