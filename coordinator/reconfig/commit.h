// All are ready: the proposed epoch becomes the committed one.
#pragma once

#include "coordinator/state.h"

namespace conclave {

// -> Serving. Members that take no part in it are dismissed.
void CommitEpoch(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox);

}  // namespace conclave
