// The members of a staged epoch connect to one another on fresh endpoints, beside the running one.
#pragma once

#include "coordinator/state.h"

namespace conclave {

// All have loaded: each is told the addresses of all.
void SendConnect(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox);

void TakeConnected(CoordinatorState& state, WorkerLink& link, Micros now,
                   const Connected& connected, CoordinatorOutbox& outbox);

// All have answered, or have had time enough. If every link carries frames, sequences may move.
// Otherwise the newcomers on broken links are refused; if links between members are broken, too,
// the change is given up.
void JudgeConnections(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox);

}  // namespace conclave
