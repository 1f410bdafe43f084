#include "exchange/dispatch_plan.h"

#include <algorithm>

#include "base/check.h"

namespace conclave {

DispatchPlan::DispatchPlan(std::int64_t rows_max, int topk, int destinations) {
  CONCLAVE_CHECK(rows_max >= 0 && topk >= 1 && destinations >= 1, "rows_max %lld topk %d of %d",
                 static_cast<long long>(rows_max), topk, destinations);
  const auto wide = static_cast<std::size_t>(destinations);
  slots_.resize(static_cast<std::size_t>(rows_max * topk));
  // A row goes to a destination once, so to at most this many destinations.
  rows_.resize(static_cast<std::size_t>(rows_max * std::min(topk, destinations)));
  slot_begin_.resize(wide + 1);
  row_begin_.resize(wide + 1);
  cursor_.resize(2 * wide);
  last_row_.resize(wide);
}

void DispatchPlan::Build(MatrixView<const std::uint16_t> ids, std::span<const std::uint8_t> owner) {
  const std::size_t wide = last_row_.size();
  CONCLAVE_CHECK(ids.rows * ids.cols <= static_cast<std::int64_t>(slots_.size()),
                 "%lld rows of %lld choices", static_cast<long long>(ids.rows),
                 static_cast<long long>(ids.cols));
  std::ranges::fill(slot_begin_, 0);
  std::ranges::fill(row_begin_, 0);
  std::ranges::fill(last_row_, -1);
  for (std::int64_t row = 0; row < ids.rows; ++row) {
    for (const std::uint16_t expert : ids.row_span(row)) {
      CONCLAVE_CHECK(expert < owner.size(), "expert %u of %zu", expert, owner.size());
      const std::size_t to = owner[expert];
      CONCLAVE_CHECK(to < wide, "expert %u belongs to destination %zu of %zu", expert, to, wide);
      ++slot_begin_[to + 1];
      if (last_row_[to] != row) ++row_begin_[to + 1];
      last_row_[to] = static_cast<std::int32_t>(row);
    }
  }
  for (std::size_t to = 0; to < wide; ++to) {
    slot_begin_[to + 1] += slot_begin_[to];
    row_begin_[to + 1] += row_begin_[to];
    cursor_[to] = slot_begin_[to];
    cursor_[wide + to] = row_begin_[to];
  }
  CONCLAVE_CHECK(row_begin_[wide] <= static_cast<std::int64_t>(rows_.size()), "too many choices");
  std::ranges::fill(last_row_, -1);
  // The same walk again: row by row and choice by choice, so each destination's part is in order.
  for (std::int64_t row = 0; row < ids.rows; ++row) {
    const std::span<const std::uint16_t> choices = ids.row_span(row);
    for (std::size_t k = 0; k < choices.size(); ++k) {
      const std::size_t to = owner[choices[k]];
      const auto here = static_cast<std::int32_t>(row);
      slots_[static_cast<std::size_t>(cursor_[to]++)] = {here, static_cast<std::int32_t>(k),
                                                         choices[k]};
      if (last_row_[to] != here) rows_[static_cast<std::size_t>(cursor_[wide + to]++)] = here;
      last_row_[to] = here;
    }
  }
}

std::span<const DispatchEntry> DispatchPlan::SlotsFor(int destination) const {
  const auto d = static_cast<std::size_t>(destination);
  CONCLAVE_CHECK(d < last_row_.size(), "destination %d", destination);
  const std::int64_t begin = slot_begin_[d];
  return {slots_.data() + begin, static_cast<std::size_t>(slot_begin_[d + 1] - begin)};
}

std::span<const std::int32_t> DispatchPlan::RowsFor(int destination) const {
  const auto d = static_cast<std::size_t>(destination);
  CONCLAVE_CHECK(d < last_row_.size(), "destination %d", destination);
  const std::int64_t begin = row_begin_[d];
  return {rows_.data() + begin, static_cast<std::size_t>(row_begin_[d + 1] - begin)};
}

}  // namespace conclave
