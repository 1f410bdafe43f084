// Conservation: what is held is held by someone, and counted once.
#pragma once

#include "coordinator/state.h"

namespace conclave {

// CHECKs; for tests and the simulator, after any event.
void Audit(const CoordinatorState& state);

}  // namespace conclave
