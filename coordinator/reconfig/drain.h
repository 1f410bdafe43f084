// Workers that leave: because their process was told to end, or because an operator wants it.
#pragma once

#include "coordinator/state.h"

namespace conclave {

// SIGTERM at the worker: it leaves as soon as the others can do without it, or when nothing is left
// to do.
void TakeLeave(CoordinatorState& state, WorkerLink& link, Micros now, CoordinatorOutbox& outbox);

// An operator's wish: refused if the others cannot do without it now.
void TakeDrain(CoordinatorState& state, const DrainAsked& asked, CoordinatorOutbox& outbox);

// Which of the workers that want to leave may go now, by rising worker id, and why the others may
// not. Newcomers do not count: they may fail to join. Experts, sequences and the longest request
// must all have a place with those that stay. The answer is kept until an input changes: members,
// wishes, placement, the longest request. With a new answer, planner and status are told.
const DrainDecision& DecideDrains(CoordinatorState& state, Micros now);

// A worker may have been kept by a long request that has ended. Call on every tick.
void CheckBlockedDrains(CoordinatorState& state, Micros now);

// Whether workers whose processes end anyway have nothing left to wait for, although the others
// cannot do without them.
bool HasIdleLeavers(const CoordinatorState& state);
void DismissIdleLeavers(CoordinatorState& state, CoordinatorOutbox& outbox);

// KV blocks of the largest pool among the members that mean to stay, which is what a new request
// must fit; among all members if none means to. 0: there is no member.
std::int64_t LargestPool(const CoordinatorState& state);

}  // namespace conclave
