// A foreseen change - someone came, or leaves - made ready beside the running epoch, so that
// service pauses for two control messages only (docs/decisions/0007-change-over.md):
//
//   loading --(all Loaded)--> connecting --(all Connected)--> moving --(no sequence is on a leaver)
//   --> stopping --(no step under way)--> Prepare, which is epochs.h's
//
// A newcomer that fails, is silent or cannot be reached is refused with the reason, and the others
// go on under a fresh number. If members fail, the change is given up and tried again after a
// pause. If a member is lost, what was made ready is dropped: epochs.h makes an epoch at once.
// Whoever comes or wants to leave meanwhile waits for the next change, right after this one.
#pragma once

#include <string>

#include "coordinator/state.h"

namespace conclave {

// Begins one when it is due and takes it a stage further when it can go. Call after every event
// while serving. True: the planner has stopped, no step is under way, and Prepare is due.
bool AdvanceChangeOver(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox);

void TakeLoaded(CoordinatorState& state, WorkerLink& link, Micros now, const Loaded& loaded,
                CoordinatorOutbox& outbox);
void TakeConnected(CoordinatorState& state, WorkerLink& link, Micros now,
                   const Connected& connected, CoordinatorOutbox& outbox);

// Whoever does not load or connect in time.
void CheckChangeOver(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox);

// Drops what was made ready; a change is considered anew.
void DropChangeOver(CoordinatorState& state);

// Likewise, but not before a pause, which grows from one time to the next.
void GiveUp(CoordinatorState& state, Micros now, std::string why, CoordinatorOutbox& outbox);

// Someone came, went or wants to leave: sees to who takes no new sequences, and has a change
// considered.
void NoticeChange(CoordinatorState& state, Micros now);

}  // namespace conclave
