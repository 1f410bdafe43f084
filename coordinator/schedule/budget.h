// What one worker may still be given in the step that is being planned: rows, which its workspace
// bounds, and cost, which the step's time bounds (row_cost.h). Every use of a row is named, and what
// is reserved for one use is not seen by the others. Pure.
#pragma once

#include <cstdint>

#include "coordinator/schedule/row_cost.h"

namespace conclave {

enum class RowUse : std::uint8_t {
  kDecode,      // the next token of a stream: bounded by the workspace only
  kRecompute,   // what is missing of an answer that has begun
  kPrompt,      // a short prompt, or any prompt while no short one has work
  kLongPrompt,  // a long prompt: bounded by its share, too, while one is set
  kMigration,   // what a migrating sequence lacks on its next worker
};

class WorkerBudget {
 public:
  // At least so many rows of one answer that is computed again go into a step, so that a migration
  // whose end fits is never spread over several steps.
  static constexpr std::int32_t kRecomputeRowsMin = 64;
  // At least so many rows besides decode rows fit into a step, whatever the decode rows cost.
  static constexpr std::int32_t kOtherRowsMin = 16;

  WorkerBudget(const RowCost& cost, std::int32_t rows_max) : cost_(cost), rows_left_(rows_max) {}

  // What the worker's part may cost in all. Said once, after the decode rows are planned.
  void SetCostLimit(std::int64_t limit);
  // Keeps `rows` rows more for migration, beginning at position `begin`: with what was reserved before
  // at most a quarter of what is left, but one row at least.
  void ReserveForMigration(std::int32_t begin, std::int32_t rows);
  // From now on, until it is lifted, long prompts share half of what prompts have now.
  void CapLongPrompts();
  void LiftCap();

  // How many of the positions [begin, begin + wanted) may be planned for `use` now.
  std::int32_t Fit(RowUse use, std::int32_t begin, std::int32_t wanted) const;
  void Spend(RowUse use, std::int32_t begin, std::int32_t count);

  std::int32_t rows_left() const { return rows_left_; }
  std::int64_t cost_limit() const { return cost_limit_; }
  std::int64_t cost_used() const { return cost_used_; }    // decode rows included
  std::int64_t cost_other() const { return cost_other_; }  // decode rows left out
  std::int32_t rows_reserved() const { return rows_reserved_; }    // for migration
  std::int32_t migration_rows() const { return migration_rows_; }  // planned

 private:
  std::int64_t ForPrompts() const;

  RowCost cost_;
  std::int32_t rows_left_;
  std::int64_t cost_limit_ = 0, cost_left_ = 0;
  std::int64_t cost_used_ = 0, cost_other_ = 0;
  std::int32_t rows_reserved_ = 0;   // of rows_left_, for migration
  std::int64_t cost_reserved_ = 0;   // of cost_left_, for migration
  std::int32_t migration_rows_ = 0;
  bool capped_ = false;
  std::int64_t long_left_ = 0;  // while capped_
};

}  // namespace conclave
