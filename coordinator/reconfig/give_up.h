// A planned change that cannot be made now.
#pragma once

#include <string>

#include "coordinator/state.h"

namespace conclave {

// Forgets what was staged. It is tried again after a pause that grows from one time to the next.
void GiveUpChange(CoordinatorState& state, Micros now, std::string why, CoordinatorOutbox& outbox);

}  // namespace conclave
