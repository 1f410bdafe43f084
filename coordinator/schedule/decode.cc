#include "coordinator/schedule/decode.h"

#include "coordinator/schedule/open.h"

namespace conclave {

Lack LackOf(const Request& request) {
  if (request.decoding() && !request.open_due) return Lack::kNextToken;
  return request.usage.completion_tokens > 0 ? Lack::kAnswer : Lack::kPrompt;
}

void PlanDecode(StepDraft& draft, std::span<Request* const> decoding) {
  for (Request* request : decoding) {
    // An older request may have put it back for its blocks.
    if (request->state != RequestState::kRunning || request->plannable() <= 0) continue;
    if (request->understudy != nullptr && request->understudy->caught_up) continue;
    draft.PlanChunk(*request, RowUse::kDecode);
  }
}

void PlanRecompute(StepDraft& draft, std::span<Request* const> answers) {
  for (Request* request : answers) {
    if (request->state != RequestState::kRunning || request->plannable() <= 0) continue;
    if (request->understudy != nullptr && request->understudy->caught_up) continue;
    draft.PlanChunk(*request, RowUse::kRecompute);
  }
  OpenAnswers(draft);
}

}  // namespace conclave
