#include "coordinator/schedule/step_time.h"

#include <algorithm>

#include "base/limits.h"
#include "coordinator/schedule/budget.h"

namespace conclave {
namespace {

// Steps of one kind differ a little in length: they are to stay within the time, not to be it on
// average.
constexpr std::int64_t Aim(Micros wanted) { return std::max<Micros>(1, wanted - wanted / 8); }

}  // namespace

Pace::Pace(std::int64_t first, std::int64_t least, std::int64_t most)
    : amount_(std::clamp(first, least, most)), least_(least), most_(most) {}

void Pace::Learn(Micros length, std::int64_t held, Micros wanted) {
  const double ratio =
      static_cast<double>(Aim(wanted)) / static_cast<double>(std::max<Micros>(1, length));
  const auto times = [&](double factor) {
    return static_cast<std::int64_t>(static_cast<double>(held) * factor);
  };
  if (length > wanted) {
    searching_ = false;
    amount_ = std::max(least_, std::min(amount_, times(std::max(ratio, 0.5))));
  } else if (held >= amount_ / 4 * 3) {
    const double most = searching_ ? 2.0 : 1.25;
    amount_ = std::min(most_, std::max(amount_, times(std::min(ratio, most))));
  }
}

StepTime::StepTime(std::optional<Micros> target, const RowCost& cost, std::int32_t first_rows)
    : said_(target),
      nearly_nothing_(cost.OfRows(WorkerBudget::kOtherRowsMin)),
      mixed_(cost.OfRows(first_rows), nearly_nothing_, cost.OfRows(kWorkerRowsMax)),
      prompts_only_(cost.OfRows(first_rows), nearly_nothing_, cost.OfRows(kWorkerRowsMax)),
      migration_(kMigrationRowsMin, kMigrationRowsMin, kWorkerRowsMax) {}

Micros StepTime::target() const {
  return said_.value_or(std::max(kTargetMin, kDecodeSteps * decode_step_));
}

void StepTime::Learn(const Measured& step) {
  if (!step.decode_rows) {
    if (!step.prompts) return;
    prompts_only_.Learn(step.length, step.cost,
                        std::max(kPromptsOnlyMin, kPromptsOnlyTargets * target()));
    return;
  }
  if (step.migration_rows == 0 && step.cost_other <= nearly_nothing_) {
    // One step that took very long says little about the usual one.
    const Micros length =
        decode_step_ == 0 ? step.length : std::min(step.length, 2 * decode_step_ + 1);
    decode_step_ = decode_step_ == 0 ? length : decode_step_ + (length - decode_step_) / 8;
  }
  if (step.migration_rows > 0 && !step.prompts && decode_step_ > 0) {
    migration_.Learn(step.length, step.migration_rows, decode_step_ * 3 / 2);
  }
  if (step.cost_other > 0) mixed_.Learn(step.length, step.cost, target());
}

}  // namespace conclave
