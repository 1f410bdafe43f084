// A step did not end.
#pragma once

#include "coordinator/state.h"

namespace conclave {

// Nothing new is planned. If nobody turns out to be gone, an epoch with the same members follows
// after `evidence_wait`, or when all members have reported the failure.
void TakeBroken(CoordinatorState& state, WorkerLink& link, Micros now, const StepBroken& broken,
                CoordinatorOutbox& outbox);

// The wait is over.
void ReformAfterBreak(CoordinatorState& state);

}  // namespace conclave
