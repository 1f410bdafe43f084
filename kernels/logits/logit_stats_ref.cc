#include "base/numeric.h"
#include "kernels/ref_dot.h"
#include "kernels/ref_set.h"

namespace conclave::ref {
namespace {

LogitSliceStats StatsOf(const float* logits, std::int64_t begin, std::int64_t end) {
  LogitSliceStats stats;
  for (std::int64_t v = begin; v < end; ++v) {
    const bool better = stats.best < 0 ? logits[v] == logits[v] : logits[v] > stats.max;
    if (!better) continue;
    stats.best = static_cast<TokenId>(v);
    stats.max = logits[v];
  }
  if (stats.best < 0) return stats;
  for (std::int64_t v = begin; v < end; ++v) {
    // The maximum counts 1 even where it is infinite; NaN counts as -inf.
    if (logits[v] == stats.max) {
      stats.sum += 1.0;
    } else if (logits[v] == logits[v]) {
      stats.sum += Exp(Wide(logits[v]) - Wide(stats.max));
    }
  }
  return stats;
}

}  // namespace

void LogitStats(const LogitStatsArgs& args, const Lane& lane) {
  const std::int64_t slices = args.slices.cols;
  const Share share = ShareOf(args.logits.rows * slices, lane.index, lane.count);
  for (std::int64_t item = share.begin; item < share.end; ++item) {
    const std::int64_t r = item / slices;
    const std::int64_t s = item % slices;
    const std::int64_t begin = s * kLogitSlice;
    args.slices.row(r)[s] =
        StatsOf(args.logits.row(r), begin, std::min(args.logits.cols, begin + kLogitSlice));
  }
}

}  // namespace conclave::ref
