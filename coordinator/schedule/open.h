// Requests leave the queue: each gets a worker and its first chunk.
//
// The queue is served in the order of arrival. A request that no worker has KV memory for may be
// overtaken by short ones, which together have no more tokens than it has itself: after that nobody
// opens before it does, so what runs now ends and makes room for it.
#pragma once

#include "coordinator/schedule/step_draft.h"

namespace conclave {

// Requests of the queue whose answers have begun: their worker was lost, or their blocks.
void OpenAnswers(StepDraft& draft);

// Requests of the queue that were never begun. `opened` gets those that now run.
void OpenPrompts(StepDraft& draft, std::vector<Request*>& opened);

// Whether what is missing of the request is short work: no more than a worker's part of this step
// holds, or than kShortRows rows cost, if that is more.
bool IsShort(const StepDraft& draft, const Request& request);
// Whether a short prompt is among the first of the queue.
bool ShortPromptWaits(StepDraft& draft);

}  // namespace conclave
