// The rows that streams wait for: the next token of every answer, then what is missing of answers
// that have begun.
#pragma once

#include <span>

#include "coordinator/schedule/step_draft.h"

namespace conclave {

// What a running request lacks.
enum class Lack : std::uint8_t {
  kNextToken,  // everything else is planned
  kAnswer,     // part of an answer that has begun: its client waits for the next token, too
  kPrompt,     // part of its prompt
};
Lack LackOf(const Request& request);

// The next token of every answer that lacks nothing else, oldest first. A request whose migration
// has caught up waits for its last token instead.
void PlanDecode(StepDraft& draft, std::span<Request* const> decoding);

// Running answers that have to be computed again in part, oldest first; then those of the queue.
void PlanRecompute(StepDraft& draft, std::span<Request* const> answers);

}  // namespace conclave
