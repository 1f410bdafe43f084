// How a MoE layer's exchange is divided into rounds, so that what arrives at a worker in one round
// fits the memory it set aside, wherever the rows' experts are.
//
// Every worker cuts its own rows of the step into the same number of slices and sends one slice per
// round. Whatever the routing, a row is sent to another worker at most once, so the slices of all
// other workers together bound what can arrive. Which round a row travels in changes no bit: each
// row's answers are summed at home, in k order (docs/decisions/0012-dispatch-in-rounds.md).
#pragma once

#include <cstdint>
#include <span>

namespace conclave {

// Rows [begin, begin + count) of one worker.
struct RowRange {
  std::int64_t begin = 0;
  std::int64_t count = 0;
  friend bool operator==(const RowRange&, const RowRange&) = default;
};

// The rows of round `round` (0 .. rounds - 1) of a worker that has `rows` in the step. The slices
// of all rounds follow one another and cover every row once; some are empty when there are more
// rounds than rows.
RowRange SliceOf(std::int64_t rows, std::int32_t rounds, std::int32_t round);
// Upper bound of any slice's count; reached by at least one of them.
std::int64_t LargestSlice(std::int64_t rows, std::int32_t rounds);

// Upper bound of the rows that arrive at part `self` in one round: the largest slice of every other
// part. `part_rows` are the rows of all parts of the plan.
std::int64_t RoundArrivalsMax(std::span<const std::int32_t> part_rows, std::size_t self,
                              std::int32_t rounds);

// Whether a worker that takes `arrivals_max` rows of others in a round, and as many of its own, can
// run its part in that many rounds.
bool RoundsFit(std::span<const std::int32_t> part_rows, std::size_t self, std::int32_t rounds,
               std::int32_t arrivals_max);

// The smallest number of rounds that fits every part; `arrivals_max` has one entry per part. Every
// entry is at least 1 and at least the number of other parts: then enough rounds always exist.
// O(parts * log(rows)), allocates nothing.
std::int32_t RoundsFor(std::span<const std::int32_t> part_rows,
                       std::span<const std::int32_t> arrivals_max);

}  // namespace conclave
