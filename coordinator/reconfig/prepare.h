// Prepare to all who take part in the next epoch, and an answer from each. Nothing is planned
// meanwhile; results of the old epoch still count until their worker is Ready.
//
// A member that could not open the epoch but names a new standby address is asked again with that
// address, when all have answered: a Prepare that was overtaken by a later one has used the old one
// up. Any other failure is the member's own, and it is sent away.
#pragma once

#include "coordinator/state.h"

namespace conclave {

// -> Preparing.
void SendPrepare(CoordinatorState& state, Preparing preparing, Micros now,
                 CoordinatorOutbox& outbox);
// What was staged beside the committed epoch takes its place.
void PrepareStaged(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox);

void TakeReady(CoordinatorState& state, WorkerLink& link, Micros now, const Ready& ready,
               CoordinatorOutbox& outbox);

// The time after which this receiver of Prepare is late. Loading may take as long as it goes on;
// everything else is done in a moment, unless the worker's thread stands still.
Micros PrepareLateUntil(const CoordinatorState& state, const WorkerLink& link);
// Sends away the receivers that are late.
void DropLate(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox);

// A staged epoch whose members did not all become ready: an epoch is made at once, and the planned
// change is tried again after a pause.
void AbandonPrepared(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox);

}  // namespace conclave
