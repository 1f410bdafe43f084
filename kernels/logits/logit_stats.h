// What sampling and log-probabilities need to know about a row of logits, in one pass.
//
//   logits  [rows, vocab]   float
//   stats   [rows]          best id (the lowest on a tie; NaN loses; -1 when there is no number),
//                           its logit, and log(sum over v of exp(logit_v - max)). NaN counts as
//                           -inf; an entry equal to the maximum counts 1, infinite or not. A row
//                           without a number gives LogitStats{}
//
// exp of one entry: relative error <= kLogitExpUlpMax float ulps (its argument rounded to float),
// or 2^-100 in absolute terms.
//
// The sum runs over fixed slices of kLogitSlice entries, each in one order; the slices are merged in
// rising order, in double, by `FinishLogitStats`, which the caller calls last. Threads divide rows
// and slices. Determinism: a row depends on that row alone.
#pragma once

#include <cstdint>
#include <span>

#include "base/ids.h"
#include "base/views.h"
#include "kernels/lane.h"

namespace conclave {

inline constexpr int kLogitSlice = 8192;
inline constexpr int kLogitExpUlpMax = 4;

struct LogitStats {
  TokenId best = -1;
  float max = 0;
  double log_sum = 0;  // so that logprob(v) = (logit_v - max) - log_sum
};

// One slice's share.
struct LogitSliceStats {
  TokenId best = -1;
  float max = 0;
  double sum = 0;  // of exp(logit - max of this slice)
};

struct LogitStatsArgs {
  MatrixView<const float> logits;
  MatrixView<LogitSliceStats> slices;  // [rows, ceil(vocab / kLogitSlice)] out
};
using LogitStatsFn = void (*)(const LogitStatsArgs&, const Lane&);

LogitStats FinishLogitStats(std::span<const LogitSliceStats> slices);

}  // namespace conclave
