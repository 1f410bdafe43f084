#include "kernels/ref_dot.h"
#include "kernels/ref_set.h"

namespace conclave::ref {

void Combine(const CombineArgs& args, const Lane& lane) {
  const std::int64_t k = args.weights.cols;
  const Share share = ShareOf(args.hidden.cols, lane.index, lane.count);
  for (std::int64_t r = 0; r < args.hidden.rows; ++r) {
    const float* const* answers = args.answers.data() + r * k;
    const float* weights = args.weights.row(r);
    float* hidden = args.hidden.row(r);
    for (std::int64_t c = share.begin; c < share.end; ++c) {
      float sum = weights[0] * answers[0][c];  // no FMA: -ffp-contract=off for the whole tree
      for (std::int64_t j = 1; j < k; ++j) sum += weights[j] * answers[j][c];
      hidden[c] += sum;
    }
  }
}

}  // namespace conclave::ref
