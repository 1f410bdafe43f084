// RMS norm, 32 columns at a time: four accumulators, folded pairwise, whatever the row's address.
#include "kernels/avx2_inl.h"
#include "kernels/avx2_kernels.h"
#include "kernels/norm/rms_norm.h"

namespace conclave {
namespace {

float SumOfSquares(const float* in, std::int64_t cols) {
  __m256 sum[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
                   _mm256_setzero_ps()};
  for (std::int64_t at = 0; at < cols; at += 32) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const __m256 x = _mm256_maskload_ps(in + at + 8 * j, First8(cols - at - 8 * j));
      sum[j] = _mm256_fmadd_ps(x, x, sum[j]);
    }
  }
  return SumOf8(_mm256_add_ps(_mm256_add_ps(sum[0], sum[1]), _mm256_add_ps(sum[2], sum[3])));
}

}  // namespace

namespace avx2 {

void RmsNorm(const RmsNormArgs& args, const Lane& lane) {
  const std::int64_t cols = args.in.cols;
  for (std::int64_t r = TakeTicket(lane); r < args.in.rows; r = TakeTicket(lane)) {
    const float* const in = args.in.data + r * args.in.stride;
    float* const out = Floats(args.out.data + r * args.out.stride_bytes);
    const float mean = SumOfSquares(in, cols) / static_cast<float>(cols);
    const __m256 root = _mm256_sqrt_ps(_mm256_set1_ps(mean + args.eps));
    for (std::int64_t at = 0; at < PaddedCols(cols); at += 8) {
      const __m256i mask = First8(cols - at);
      const __m256 normed = _mm256_div_ps(_mm256_maskload_ps(in + at, mask), root);
      const __m256 weighted =
          _mm256_mul_ps(_mm256_maskload_ps(args.weight.data() + at, mask), normed);
      // Padding is zero even when the row is not finite.
      _mm256_store_ps(out + at, _mm256_and_ps(_mm256_castsi256_ps(mask), weighted));
    }
  }
}

}  // namespace avx2
}  // namespace conclave
