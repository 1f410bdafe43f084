// Workers that leave: because their process was told to end, or because an operator says so.
#pragma once

#include "coordinator/state.h"

namespace conclave {

// SIGTERM at the worker: it leaves as soon as the others can do without it, or when nothing is left
// to do.
void TakeLeave(CoordinatorState& state, WorkerLink& link, Micros now, CoordinatorOutbox& outbox);

// An operator's wish: refused if the others cannot do without it now.
void TakeDrain(CoordinatorState& state, const DrainAsked& asked, CoordinatorOutbox& outbox);

// Whoever waits for a long request to end is looked at again when it has ended. Call now and then.
void CheckLeavers(CoordinatorState& state, Micros now);

}  // namespace conclave
