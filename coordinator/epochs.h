// Changes of the epoch: Prepare to all who take part, an answer from each, Commit. Between two
// epochs nothing is planned; results of the old one still count until their worker is Ready.
//
// A member that could not open the epoch but names a new standby address is asked again with that
// address, when all have answered: a Prepare that was overtaken by a later one has used the old one
// up. Any other failure is the member's own, and it goes.
//
// A newcomer joins at the next step boundary. The seam for loading out of band is
// Membership::Candidates: a link is one from its Hello on; later, when it has loaded.
#pragma once

#include <string>

#include "coordinator/state.h"

namespace conclave {

// Starts what is due: the first epoch, a wanted change at a step boundary. Call after every event.
void AdvanceEpochs(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox);

// A change that waits for the step boundary: someone came, or wants to leave.
void WantChange(CoordinatorState& state, Micros now, std::string cause);

// A change that cannot wait: the epoch cannot run another step as it is.
void ForceChange(CoordinatorState& state, Micros now, std::string cause, CoordinatorOutbox& outbox);

void TakeReady(CoordinatorState& state, WorkerLink& link, Micros now, const Ready& ready,
               CoordinatorOutbox& outbox);

// The link is gone, or is sent away; its sequences go back to the queue.
void LoseLink(CoordinatorState& state, LinkId link, Micros now, const std::string& reason,
              CoordinatorOutbox& outbox);
void DropWorker(CoordinatorState& state, LinkId link, Micros now, const std::string& reason,
                CoordinatorOutbox& outbox);

// Whoever has not answered Prepare in time goes.
void CheckPrepareTimeout(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox);

}  // namespace conclave
