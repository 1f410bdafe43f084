// Whether a step may start: its epoch, order, digest and sizes. What it does to sequences is checked
// by Sequences::Stage.
#pragma once

#include "absl/status/status.h"
#include "protocol/plan.h"
#include "worker/core.h"
#include "worker/epoch_tables.h"

namespace conclave {

struct CheckAskArgs {
  const StepAsk& ask;
  const EpochTables& epoch;
  StepId step_expected;
  const WorkerConfig& config;
};
// InvalidArgument (what the plan says is wrong) or FailedPrecondition (not now). Allocates nothing
// when all is well.
absl::Status CheckAsk(const CheckAskArgs& args);

}  // namespace conclave
