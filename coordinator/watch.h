// What time brings to light: silence, wedged workers, broken links, steps that stay broken, and
// changes that take too long. Call on every tick.
#pragma once

#include <vector>

#include "coordinator/state.h"
#include "coordinator/suspects.h"

namespace conclave {

void Watch(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox);

void TakeHeartbeat(WorkerLink& link, Micros now, const Heartbeat& heartbeat);
void TakeLoadProgress(WorkerLink& link, Micros now, const LoadProgress& progress);

// A step did not end. Nothing new is planned; if nobody turns out to be gone, an epoch with the
// same members follows after evidence_wait, or when all have said so.
void TakeBroken(CoordinatorState& state, WorkerLink& link, Micros now, const StepBroken& broken,
                CoordinatorOutbox& outbox);

// Whom heartbeats speak against. `part`: of the limits, by which they are judged; 1 is when they
// go, less for those that may.
std::vector<Suspect> SuspectsNow(const CoordinatorState& state, Micros now, double part);

}  // namespace conclave
