#include "coordinator/reconfig/broken_step.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/reconfig/lose_worker.h"

namespace conclave {
namespace {

constexpr int kFailedStepsMax = 4;  // of one after another; then its reporter is the reason

}  // namespace

void TakeBroken(CoordinatorState& state, WorkerLink& link, Micros now, const StepBroken& broken,
                CoordinatorOutbox& outbox) {
  std::string why = absl::StrCat("step ", broken.step.value, " broke at slot ", link.slot.value,
                                 ": ", broken.error);
  Log(outbox, LogLine::Level::kWarning, why);
  Reconfig& reconfig = state.reconfig;
  Serving* serving = reconfig.serving_state();
  if (serving == nullptr || broken.epoch != state.epoch || !link.member) return;
  if (!serving->broken.has_value()) {
    // Others may report the same of this step: the first report counts.
    if (++reconfig.consecutive_failed_steps > kFailedStepsMax) {
      DropWorker(state, link.id, now, why, outbox);
      return;
    }
    serving->broken = BrokenStep{.since = now, .why = std::move(why), .reported_by = {}};
    if (!reconfig.stopped_since.has_value()) reconfig.stopped_since = now;
  }
  serving->broken->reported_by.Add(link.slot);
}

void ReformAfterBreak(CoordinatorState& state) {
  BrokenStep broken = *std::exchange(state.reconfig.serving_state()->broken, std::nullopt);
  state.reconfig.ForceChange({.kind = ChangeKind::kBrokenStep, .text = std::move(broken.why)});
}

}  // namespace conclave
