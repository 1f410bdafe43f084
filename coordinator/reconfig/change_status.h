// The change of membership that is under way, for status.
#pragma once

#include "coordinator/state.h"

namespace conclave {

ChangeStatus ChangeStatusOf(const CoordinatorState& state, Micros now);

}  // namespace conclave
