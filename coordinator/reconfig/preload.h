// A member is silent and may be lost: meanwhile the others load what they would have to load then.
#pragma once

#include "coordinator/state.h"

namespace conclave {

// The others pack, in the background, the experts that they would own without the silent members.
// No step can end while a member is silent, so nobody is disturbed. If it is lost, the epoch that
// follows finds most of them loaded.
void PreloadForLoss(CoordinatorState& state, CoordinatorOutbox& outbox);

// All members speak: what was packed for nothing is dropped.
void DropPreloaded(CoordinatorState& state, CoordinatorOutbox& outbox);

}  // namespace conclave
