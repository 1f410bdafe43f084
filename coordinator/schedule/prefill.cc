#include "coordinator/schedule/prefill.h"

#include "coordinator/schedule/decode.h"
#include "coordinator/schedule/open.h"

namespace conclave {
namespace {

void PlanOnce(StepDraft& draft, std::vector<Request*>& prompts) {
  const std::size_t running = prompts.size();
  for (std::size_t i = 0; i < running; ++i) {
    Request& request = *prompts[i];
    // An older request may have put it back for its blocks, or its last chunk is planned already.
    if (request.state != RequestState::kRunning || LackOf(request) != Lack::kPrompt) continue;
    draft.PlanChunk(request, IsShort(draft, request) ? RowUse::kPrompt : RowUse::kLongPrompt);
  }
  OpenPrompts(draft, prompts);
}

// Caps the long prompts of every worker that short ones want rows of. True when there is any.
bool CapLongPrompts(StepDraft& draft, const std::vector<Request*>& prompts) {
  bool any = false;
  if (ShortPromptWaits(draft)) {
    for (WorkerDraft& worker : draft.workers()) {
      if (!worker.home->TakesSequences()) continue;
      worker.budget.CapLongPrompts();
      any = true;
    }
  }
  for (const Request* request : prompts) {
    if (request->state != RequestState::kRunning || !IsShort(draft, *request)) continue;
    draft.At(request->home).budget.CapLongPrompts();
    any = true;
  }
  return any;
}

}  // namespace

void PlanPrefill(StepDraft& draft, std::vector<Request*> prompts) {
  if (CapLongPrompts(draft, prompts)) {
    PlanOnce(draft, prompts);
    for (WorkerDraft& worker : draft.workers()) worker.budget.LiftCap();
  }
  PlanOnce(draft, prompts);
}

}  // namespace conclave
