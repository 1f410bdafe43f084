// An epoch is needed and there is none to serve meanwhile.
#pragma once

#include "coordinator/state.h"

namespace conclave {

// Proposes one of the workers that are here, without anything made ready before; when they do not
// suffice, gathers until others come.
void ProposeAtOnce(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox);

}  // namespace conclave
