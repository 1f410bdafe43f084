// Prompts, spread over the workers so that every part of the step is full while prompts wait.
//
// Running prompts go on where they live and the queue opens on workers that have room, the oldest
// first. While a short prompt has work that a worker could do, the long prompts there get at most
// half of what prompts get on it; what is left over is theirs, too. So neither waits for the other.
#pragma once

#include <vector>

#include "coordinator/schedule/step_draft.h"

namespace conclave {

// `prompts`: running requests that lack part of their prompt, oldest first.
void PlanPrefill(StepDraft& draft, std::vector<Request*> prompts);

}  // namespace conclave
