// What the rows of a step cost the worker that runs them. The unit of cost is the attention of one
// row over one position of context, so the row at position p costs `context_per_row` + p: the first
// term is the row's projections and experts, which every row pays. Pure.
#pragma once

#include <cstdint>

namespace conclave {

class RowCost {
 public:
  // `context_per_row`: positions of context whose attention takes as much arithmetic as the rest of
  // a row (ContextPerRow in model/params.h). At least 1; 0 says that context costs nothing.
  explicit RowCost(std::int64_t context_per_row);

  // The cost of positions [begin, begin + count).
  std::int64_t Of(std::int32_t begin, std::int32_t count) const {
    const std::int64_t rows = count;
    return rows * (per_row_ + begin) + rows * (rows - 1) / 2;
  }
  // The cost of `rows` rows without context.
  std::int64_t OfRows(std::int64_t rows) const { return rows * per_row_; }
  // How many of the positions [begin, begin + wanted) are begun before `budget` is spent. The last
  // of them may cost more than what is left, so a row of a long context is never stuck.
  std::int32_t Fit(std::int32_t begin, std::int32_t wanted, std::int64_t budget) const;

 private:
  std::int64_t per_row_;
};

}  // namespace conclave
