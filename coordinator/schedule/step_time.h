// How much a step may hold so that it takes as long as it should, learned from how long steps took.
// Pure: times come as arguments.
//
// A step with decode rows is to take no longer than the target, a step without any no longer than a
// limit that is far above it, and a migration is not to make a decode step half as long again.
#pragma once

#include <cstdint>
#include <optional>

#include "base/ids.h"
#include "coordinator/schedule/row_cost.h"

namespace conclave {

// An amount that a step may hold, adapted so that steps which hold it take `wanted` time. A step that
// took too long sets it to what would have fitted, but never below half of what that step held, so
// that one slow step costs little; a step that was quicker raises it, if it held most of it. It
// doubles until a step first took too long, and rises by a quarter from then on.
class Pace {
 public:
  Pace(std::int64_t first, std::int64_t least, std::int64_t most);
  std::int64_t amount() const { return amount_; }
  // A step held `held` and took `length`; it was to take `wanted`.
  void Learn(Micros length, std::int64_t held, Micros wanted);

 private:
  std::int64_t amount_;
  const std::int64_t least_, most_;
  bool searching_ = true;  // no step took too long yet
};

class StepTime {
 public:
  static constexpr std::int32_t kMigrationRowsMin = 32;
  // Unless the operator says otherwise: a step with decode rows takes up to so many times as long as
  // one of decode rows alone, or kTargetMin if that is longer.
  static constexpr int kDecodeSteps = 4;
  static constexpr Micros kTargetMin = 50'000;
  // A step without decode rows takes up to so many targets, or kPromptsOnlyMin if that is longer: a
  // request that arrives meanwhile waits for it.
  static constexpr int kPromptsOnlyTargets = 20;
  static constexpr Micros kPromptsOnlyMin = 1'000'000;

  // `target`: what the operator said, if anything. `first_rows`: rows of one worker in the first
  // steps, before any was measured.
  StepTime(std::optional<Micros> target, const RowCost& cost, std::int32_t first_rows);

  // The longest that a step with decode rows is to take.
  Micros target() const;
  // What one worker's part of the next step may cost.
  std::int64_t CostLimit(bool decode_rows) const {
    return (decode_rows ? mixed_ : prompts_only_).amount();
  }
  // How many rows for migrating sequences one worker may run in the next step.
  std::int32_t MigrationRows() const { return static_cast<std::int32_t>(migration_.amount()); }

  // A step that was done. Costs and rows are those of the worker that had most.
  struct Measured {
    Micros length = 0;
    bool decode_rows = false;  // it had some
    std::int64_t cost = 0;
    std::int64_t cost_other = 0;       // of rows that were not decode rows
    std::int32_t migration_rows = 0;   // of these
    bool prompts = false;              // it had rows that were neither decode nor migration rows
  };
  void Learn(const Measured& step);

 private:
  const std::optional<Micros> said_;
  const std::int64_t nearly_nothing_;  // a step with no more other rows counts as a decode step
  Micros decode_step_ = 0;             // a running mean; 0: none was seen
  Pace mixed_, prompts_only_, migration_;
};

}  // namespace conclave
