// Which worker gets which rows: a pure function of the routing and the placement. Every array is
// reserved at start.
//
// For each destination, in rising order of worker ids: the rows that it gets (rising), and for each
// row the assignments (in k order) whose expert it serves. The home worker reads the answers back in
// exactly that order.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.h"
#include "base/views.h"

namespace conclave {

struct DispatchEntry {
  std::int32_t row;  // at home
  std::int32_t k;    // which of the row's choices
  std::uint16_t expert;
};

class DispatchPlan {
 public:
  // Room for rows_max rows of topk choices among `destinations` live workers.
  DispatchPlan(std::int64_t rows_max, int topk, int destinations);

  // ids [rows, k]; owner[expert] gives the index (0..destinations-1) of the destination that
  // serves this expert for this home. Allocates nothing.
  void Build(MatrixView<const std::uint16_t> ids, std::span<const std::uint8_t> owner);

  int destinations() const { return static_cast<int>(slot_begin_.size()) - 1; }
  // The assignments for a destination, grouped by row in rising order, in k order within a row.
  std::span<const DispatchEntry> SlotsFor(int destination) const;
  // Distinct rows for a destination, rising.
  std::span<const std::int32_t> RowsFor(int destination) const;

 private:
  std::vector<DispatchEntry> slots_;
  std::vector<std::int32_t> rows_;
  std::vector<std::int64_t> slot_begin_;
  std::vector<std::int64_t> row_begin_;
  std::vector<std::int64_t> cursor_;
  std::vector<std::int32_t> last_row_;
};

}  // namespace conclave
