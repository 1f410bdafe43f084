// The last two stages of a planned change: sequences leave the workers that leave, then planning
// stops.
#pragma once

#include "coordinator/state.h"

namespace conclave {

// Whether a sequence on a worker that leaves is still to be moved, and may yet be in time.
bool HasSequencesToMove(const CoordinatorState& state, Micros now);

// Nothing is left to move: no new step is planned, and when those under way have ended, Prepare is
// due.
void StopPlanning(CoordinatorState& state, Micros now);

}  // namespace conclave
