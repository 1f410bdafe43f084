#include "coordinator/schedule/row_cost.h"

#include "base/limits.h"

namespace conclave {

RowCost::RowCost(std::int64_t context_per_row)
    : per_row_(context_per_row > 0 ? context_per_row : std::int64_t{kContextMax} * 1024) {}

std::int32_t RowCost::Fit(std::int32_t begin, std::int32_t wanted, std::int64_t budget) const {
  if (wanted <= 0 || budget <= 0) return 0;
  // The largest number of whole rows that cost less than the budget; the next one still begins.
  std::int32_t least = 0, most = wanted - 1;
  while (least < most) {
    const std::int32_t middle = least + (most - least + 1) / 2;
    if (Of(begin, middle) < budget) {
      least = middle;
    } else {
      most = middle - 1;
    }
  }
  return least + 1;
}

}  // namespace conclave
