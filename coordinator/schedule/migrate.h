// Sequences that move to another worker while they decode, because theirs leaves.
//
// A request on a worker that drains gets an understudy on another one (stay.h). When what is left
// fits into one step, the request gets no row until its last token is back, one step when plans are
// made ahead; then its old sequence is closed, and it is opened a last time where the understudy was,
// with its blocks. The bits are the same: they do not depend on the home.
//
// The oldest moves first, a few at a time. An understudy never takes a block from a request and gives
// its own up to one that needs them. Its rows have an allowance of their own on every worker, learned
// so that decoding hardly notices (step_time.h); of what decoding leaves, up to a quarter is reserved
// for it, so a move ends however many prompts wait.
#pragma once

#include "coordinator/schedule/step_draft.h"
#include "coordinator/state.h"

namespace conclave {

// Whether sequences live at `slot` that move, or will when there is room for them elsewhere.
bool MovesPending(const CoordinatorState& state, Slot slot);

// ---- the planner's verbs, in this order.
// Those that have caught up take over, or begin another pass; those that are of no use are dropped.
void AdvanceMoves(StepDraft& draft);
// Reserves rows for the understudies that lack some.
void ReserveMoves(StepDraft& draft);
// Finds homes for the next to move.
void StartMoves(StepDraft& draft);
// Chunks of the understudies, oldest first.
void PlanMoves(StepDraft& draft);

// The request continues where its understudy is, from the first `keep` positions, which are whole
// blocks there; it must have nothing in flight. Its old sequence is put down. While a step is being
// planned, see StepDraft::TakeOver.
void TakeOver(CoordinatorState& state, Request& request, std::int32_t keep);

}  // namespace conclave
