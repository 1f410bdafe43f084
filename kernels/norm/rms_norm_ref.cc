#include <cmath>

#include "kernels/ref_dot.h"
#include "kernels/ref_set.h"

namespace conclave::ref {

void RmsNorm(const RmsNormArgs& args, const Lane& lane) {
  CheckActivations(args.out);
  const std::int64_t cols = args.in.cols;
  const Share share = ShareOf(args.in.rows, lane.index, lane.count);
  for (std::int64_t r = share.begin; r < share.end; ++r) {
    const float* in = args.in.row(r);
    double squares = 0;  // in index order; double, as every sum of the reference
    for (std::int64_t i = 0; i < cols; ++i) squares += Wide(in[i]) * Wide(in[i]);
    const double mean = squares / static_cast<double>(cols);
    // sqrt is correctly rounded by IEEE 754, unlike the other functions of libm.
    const auto root = static_cast<float>(std::sqrt(mean + Wide(args.eps)));
    std::byte* out = args.out.row(r);
    for (std::int64_t i = 0; i < cols; ++i) {
      const float normed = in[i] / root;
      StoreActivation(out, args.out.dtype, i, args.weight[static_cast<std::size_t>(i)] * normed);
    }
    ZeroPadding(out, args.out.dtype, cols);
  }
}

}  // namespace conclave::ref
