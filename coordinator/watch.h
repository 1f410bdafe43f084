// Evidence against members that comes with time: silence, compute threads that stand still, links
// that carry nothing. Call on every tick.
#pragma once

#include <vector>

#include "coordinator/state.h"
#include "coordinator/suspects.h"

namespace conclave {

void Watch(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox);

void TakeHeartbeat(WorkerLink& link, Micros now, const Heartbeat& heartbeat);
void TakeLoadProgress(WorkerLink& link, Micros now, const LoadProgress& progress);

// Workers whose heartbeats indicate a failure. `part` scales the limits: 1.0 is the threshold at
// which they are sent away, less gives the warning that status shows.
std::vector<Suspect> SuspectsNow(const CoordinatorState& state, Micros now, double part);

}  // namespace conclave
