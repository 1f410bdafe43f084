// What the outside may look at: the state as ClusterStatus, and rates over time.
#pragma once

#include "coordinator/state.h"

namespace conclave {

ClusterStatus StatusOf(const CoordinatorState& state, Micros now);
bool IsReady(const CoordinatorState& state);
// Rows per second of each worker, over the last second or so.
void SampleRates(CoordinatorState& state, Micros now);

}  // namespace conclave
