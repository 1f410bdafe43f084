// A worker introduces itself.
#pragma once

#include "coordinator/state.h"

namespace conclave {

// Takes it in under a worker id, or refuses it with the reason. What follows is a planned change,
// or the epoch that the others have waited for.
void TakeHello(CoordinatorState& state, WorkerLink& link, Micros now, const Hello& hello,
               CoordinatorOutbox& outbox);

}  // namespace conclave
