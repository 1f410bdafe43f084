// The merge of the slices: the same code for every kernel set.
#include "base/numeric.h"
#include "kernels/logits/logit_stats.h"

namespace conclave {

LogitStats FinishLogitStats(std::span<const LogitSliceStats> slices) {
  LogitStats stats;
  for (const LogitSliceStats& slice : slices) {
    const bool better = slice.best >= 0 && (stats.best < 0 || slice.max > stats.max);
    if (!better) continue;  // an equal maximum further on has a higher id
    stats.best = slice.best;
    stats.max = slice.max;
  }
  if (stats.best < 0) return stats;
  double sum = 0;
  for (const LogitSliceStats& slice : slices) {
    if (slice.best < 0) continue;
    const double scale = slice.max == stats.max
                             ? 1.0
                             : Exp(static_cast<double>(slice.max) - static_cast<double>(stats.max));
    sum += slice.sum * scale;
  }
  stats.log_sum = Log(sum);
  return stats;
}

}  // namespace conclave
