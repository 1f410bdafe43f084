// Changes of the epoch: Prepare to all who take part, an answer from each, Commit. Between two
// epochs nothing is planned; results of the old one still count until their worker is Ready.
//
// A change that was made ready beside the running epoch (change_over.h) comes here for these two
// messages only. One that cannot wait - someone is lost, a step is broken, there is no epoch yet -
// is made here from the start, and workers load during the pause.
//
// A member that could not open the epoch but names a new standby address is asked again with that
// address, when all have answered: a Prepare that was overtaken by a later one has used the old one
// up. Any other failure is the member's own, and it goes.
#pragma once

#include <string>

#include "coordinator/state.h"

namespace conclave {

// Takes whatever change is due a step further. Call after every event.
void AdvanceEpochs(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox);

// A change that cannot wait: the epoch cannot run another step as it is.
struct ForcedChange {
  ChangeKind kind;
  std::string cause;
};
void ForceChange(CoordinatorState& state, Micros now, ForcedChange change,
                 CoordinatorOutbox& outbox);

void TakeReady(CoordinatorState& state, WorkerLink& link, Micros now, const Ready& ready,
               CoordinatorOutbox& outbox);

// The link is gone, or is sent away; its sequences go back to the queue.
void LoseLink(CoordinatorState& state, LinkId link, Micros now, const std::string& reason,
              CoordinatorOutbox& outbox);
void DropWorker(CoordinatorState& state, LinkId link, Micros now, const std::string& reason,
                CoordinatorOutbox& outbox);
// Likewise, and it is told not to come back as it is.
void RefuseWorker(CoordinatorState& state, LinkId link, Micros now, const std::string& reason,
                  CoordinatorOutbox& outbox);
// It has nothing left to do here and may end.
void Dismiss(CoordinatorState& state, LinkId link, CoordinatorOutbox& outbox);

// Whoever was told to prepare and gets nowhere goes.
void DropLate(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox);

}  // namespace conclave
