// What becomes of sequences when the epoch changes. A worker keeps its sequences and their K and V
// over epochs, and a step that it did not finish has left no trace; so those on workers that stay
// go back to what the results say and continue, and those of workers that are gone continue where
// they were moving to, or go back to the queue and are computed again from prompt and emitted
// tokens.
#pragma once

#include "coordinator/state.h"

namespace conclave {

// The worker at `slot` is gone with all it held.
void Evict(CoordinatorState& state, Slot slot);
// Takes back what was planned for `slot` and has no result.
void RollBack(CoordinatorState& state, Slot slot);

}  // namespace conclave
