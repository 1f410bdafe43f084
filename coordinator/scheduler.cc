#include "coordinator/scheduler.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "coordinator/moves.h"
#include "coordinator/step_draft.h"

namespace conclave {
namespace {

// Running sequences, by what they lack.
enum class Lack : std::uint8_t {
  kNothing,  // but the next token
  kAnswer,   // part of an answer that has begun: its client waits for the next token, too
  kPrompt,
};

Lack LackOf(const Request& request) {
  if (request.decoding() && !request.open_due) return Lack::kNothing;
  return request.usage.completion_tokens > 0 ? Lack::kAnswer : Lack::kPrompt;
}

// Indices, not iterators: taking blocks may put a younger request back into the queue.
void PlanRunning(CoordinatorState& state, StepDraft& draft, Lack lack) {
  const std::vector<Request*>& running = state.requests.running();
  for (std::size_t i = 0; i < running.size() && draft.rows_free() > 0; ++i) {
    Request& request = *running[i];
    if (draft.Touched(request) || request.plannable() <= 0 || LackOf(request) != lack) continue;
    if (request.understudy != nullptr && request.understudy->caught_up) continue;
    draft.PlanChunk(request);
  }
}

void CountOpened(CoordinatorState& state, Request& request) {
  if (request.ever_opened) return;
  request.ever_opened = true;
  request.usage.cached_prompt_tokens = std::min(request.planned, request.prompt_tokens);
  state.totals.prompt_tokens += static_cast<std::uint64_t>(request.prompt_tokens);
  state.totals.cached_prompt_tokens +=
      static_cast<std::uint64_t>(request.usage.cached_prompt_tokens);
}

bool OpenOne(CoordinatorState& state, StepDraft& draft, Request& request) {
  // The last token's logits are needed, so it is always run.
  const std::int32_t whole =
      (static_cast<std::int32_t>(request.tokens.size()) - 1) / kKvBlockTokens;
  const std::int32_t hits_max = request.NeedsEveryPosition() ? 0 : whole;
  std::optional<Lodging> lodging = draft.FindHome(request, hits_max);
  if (!lodging.has_value()) return false;
  WorkerDraft& worker = draft.At(lodging->slot);
  draft.Lodge(request, request, *std::move(lodging));
  state.requests.Run(request);
  CountOpened(state, request);
  const auto before = static_cast<std::int32_t>(request.blocks.size());
  draft.PlanChunk(request);
  worker.promised -= static_cast<std::int32_t>(request.blocks.size()) - before;
  return true;
}

// First come, first served: nobody overtakes who finds no room. With `answers`, only the first in
// the queue that have said something already.
void OpenWaiting(CoordinatorState& state, StepDraft& draft, bool answers) {
  if (state.requests.waiting().empty() || draft.rows_free() <= 0) return;
  draft.Recount();
  auto next = state.requests.waiting().begin();
  while (next != state.requests.waiting().end() && draft.rows_free() > 0 && draft.MayRunMore()) {
    Request& request = *(next++)->second;
    if (answers && request.usage.completion_tokens == 0) break;
    // The token it was last asked for is still on its way: next time.
    if (request.in_flight > 0) continue;
    if (!OpenOne(state, draft, request)) break;
  }
}

}  // namespace

std::optional<StepPlan> PlanStep(CoordinatorState& state, Micros now) {
  StepDraft draft(state, now);
  AdvanceMoves(state, draft);
  PlanRunning(state, draft, Lack::kNothing);
  PlanRunning(state, draft, Lack::kAnswer);
  OpenWaiting(state, draft, /*answers=*/true);
  StartMoves(state, draft);
  KeepRows(state, draft);
  PlanRunning(state, draft, Lack::kPrompt);
  OpenWaiting(state, draft, /*answers=*/false);
  draft.ReleaseKept();
  PlanMoves(state, draft);
  return draft.Finish();
}

}  // namespace conclave
