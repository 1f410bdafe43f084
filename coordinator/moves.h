// Sequences that move to another worker while they decode, because theirs leaves.
//
// A request on a worker that drains gets an understudy on another one (stay.h). When what is left
// fits into one step, the request gets no row for as long as its last token is on its way, one step
// when plans are made ahead; then its old sequence is closed, and it is opened a last time where
// the understudy was, with its blocks. The bits are the same: they do not depend on the home.
//
// The oldest moves first, a few at a time. An understudy never takes a block from anyone, and gives
// its own up to whoever decodes; its rows are those that nobody else can use, but a quarter of what
// decoding leaves is its own, so that a move ends however many prompts wait.
#pragma once

#include "coordinator/state.h"
#include "coordinator/step_draft.h"

namespace conclave {

// Whether sequences live at `slot` that move, or will when there is room for them elsewhere.
bool MovesPending(const CoordinatorState& state, Slot slot);

// ---- the planner's verbs, in this order.
// Those that have caught up take over, or begin another pass; those that are of no use are dropped.
void AdvanceMoves(CoordinatorState& state, StepDraft& draft);
// Finds homes for the next to move.
void StartMoves(CoordinatorState& state, StepDraft& draft);
// Sets rows aside for understudies, until StepDraft::ReleaseKept.
void KeepRows(const CoordinatorState& state, StepDraft& draft);
// Chunks of the understudies, oldest first.
void PlanMoves(CoordinatorState& state, StepDraft& draft);

// The request continues where its understudy is, from the first `keep` positions, which are whole
// blocks there; it must have nothing in flight. Its old sequence is put down.
void TakeOver(CoordinatorState& state, Request& request, std::int32_t keep);

}  // namespace conclave
