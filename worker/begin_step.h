// The two ends of a step: from the plan to rows, and from what the phases left to the result.
#pragma once

#include "absl/status/status.h"
#include "worker/step.h"

namespace conclave {

// step.ask and step.epoch are set and checked (check_ask.h). Stages the part, lays out rows, and
// makes room in the result for what it will carry. InvalidArgument: nothing has changed.
absl::Status BeginStep(StepContext& step);

// After the last phase: sequences take what was sampled, the result is complete.
void FinishStep(StepContext& step);

// A step that did not get there leaves no trace but the idempotent writes to the KV cache.
void AbandonStep(StepContext& step);

}  // namespace conclave
