#include "coordinator/schedule/budget.h"

#include <algorithm>

#include "base/check.h"

namespace conclave {
namespace {

constexpr std::int32_t kMigrationShare = 4;  // one part of so many is what migration may reserve

}  // namespace

void WorkerBudget::SetCostLimit(std::int64_t limit) {
  cost_limit_ = limit;
  cost_left_ = std::max(limit - cost_used_, cost_.OfRows(kOtherRowsMin));
}

void WorkerBudget::ReserveForMigration(std::int32_t begin, std::int32_t rows) {
  const std::int32_t share = std::min(rows_left_, std::max(1, rows_left_ / kMigrationShare));
  const std::int32_t more = cost_.Fit(begin, std::min(rows, share - rows_reserved_),
                                      cost_left_ / kMigrationShare - cost_reserved_);
  rows_reserved_ += more;
  cost_reserved_ += cost_.Of(begin, more);
}

void WorkerBudget::CapLongPrompts() {
  capped_ = true;
  long_left_ = ForPrompts() / 2;
}

void WorkerBudget::LiftCap() { capped_ = false; }

std::int64_t WorkerBudget::ForPrompts() const { return cost_left_ - cost_reserved_; }

std::int32_t WorkerBudget::Fit(RowUse use, std::int32_t begin, std::int32_t wanted) const {
  const std::int32_t unreserved = std::min(wanted, rows_left_ - rows_reserved_);
  switch (use) {
    case RowUse::kDecode:
      return std::min(wanted, rows_left_);
    case RowUse::kRecompute:
      if (ForPrompts() <= 0) return 0;
      return std::max(cost_.Fit(begin, unreserved, ForPrompts()),
                      std::min(unreserved, kRecomputeRowsMin));
    case RowUse::kPrompt:
      return cost_.Fit(begin, unreserved, ForPrompts());
    case RowUse::kLongPrompt:
      return cost_.Fit(begin, unreserved,
                       capped_ ? std::min(long_left_, ForPrompts()) : ForPrompts());
    case RowUse::kMigration:
      return cost_.Fit(begin, std::min(wanted, rows_left_), std::max(cost_left_, cost_reserved_));
  }
  return 0;
}

void WorkerBudget::Spend(RowUse use, std::int32_t begin, std::int32_t count) {
  CONCLAVE_CHECK(count <= rows_left_, "%d rows of %d", count, rows_left_);
  const std::int64_t cost = cost_.Of(begin, count);
  rows_left_ -= count;
  cost_used_ += cost;
  if (use == RowUse::kDecode) return;  // the cost limit is set when these are known
  cost_left_ -= cost;
  cost_other_ += cost;
  if (use == RowUse::kLongPrompt && capped_) long_left_ -= cost;
  if (use == RowUse::kMigration) {
    migration_rows_ += count;
    rows_reserved_ = std::max(0, rows_reserved_ - count);
    cost_reserved_ = std::max<std::int64_t>(0, cost_reserved_ - cost);
  }
}

}  // namespace conclave
