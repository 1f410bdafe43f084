#include "protocol/rounds.h"

#include <algorithm>

#include "base/check.h"
#include "base/limits.h"

namespace conclave {
namespace {

// All parts at once. The sum over all parts is taken once; a part's arrivals are that sum without
// its own slice.
bool AllFit(std::span<const std::int32_t> part_rows, std::span<const std::int32_t> arrivals_max,
            std::int32_t rounds) {
  std::int64_t sum = 0;
  for (const std::int32_t rows : part_rows) sum += LargestSlice(rows, rounds);
  for (std::size_t i = 0; i < part_rows.size(); ++i) {
    const std::int64_t own = LargestSlice(part_rows[i], rounds);
    if (own > arrivals_max[i] || sum - own > arrivals_max[i]) return false;
  }
  return true;
}

}  // namespace

RowRange SliceOf(std::int64_t rows, std::int32_t rounds, std::int32_t round) {
  const std::int64_t begin = rows * round / rounds;
  return {.begin = begin, .count = rows * (round + 1) / rounds - begin};
}

std::int64_t LargestSlice(std::int64_t rows, std::int32_t rounds) {
  return (rows + rounds - 1) / rounds;
}

std::int64_t RoundArrivalsMax(std::span<const std::int32_t> part_rows, std::size_t self,
                              std::int32_t rounds) {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < part_rows.size(); ++i) {
    if (i != self) sum += LargestSlice(part_rows[i], rounds);
  }
  return sum;
}

bool RoundsFit(std::span<const std::int32_t> part_rows, std::size_t self, std::int32_t rounds,
               std::int32_t arrivals_max) {
  return LargestSlice(part_rows[self], rounds) <= arrivals_max &&
         RoundArrivalsMax(part_rows, self, rounds) <= arrivals_max;
}

std::int32_t RoundsFor(std::span<const std::int32_t> part_rows,
                       std::span<const std::int32_t> arrivals_max) {
  CONCLAVE_CHECK(part_rows.size() == arrivals_max.size(), "%zu parts, %zu bounds",
                 part_rows.size(), arrivals_max.size());
  // More rounds never make a slice larger, so the smallest number that fits is found by halving.
  std::int32_t low = 1;
  std::int32_t high = 1;
  for (const std::int32_t rows : part_rows) high = std::max(high, rows);
  CONCLAVE_CHECK(high <= kRoundsMax && AllFit(part_rows, arrivals_max, high),
                 "%zu parts of up to %d rows fit in no number of rounds", part_rows.size(), high);
  while (low < high) {
    const std::int32_t middle = low + (high - low) / 2;
    if (AllFit(part_rows, arrivals_max, middle)) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return high;
}

}  // namespace conclave
