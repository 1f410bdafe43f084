// RMS norm, 64 columns at a time: four accumulators, folded pairwise, whatever the row's address.
#include "kernels/avx512_inl.h"
#include "kernels/avx512_kernels.h"
#include "kernels/norm/rms_norm.h"

namespace conclave {
namespace {

float SumOfSquares(const float* in, std::int64_t cols) {
  __m512 sum[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(),
                   _mm512_setzero_ps()};
  for (std::int64_t at = 0; at < cols; at += 64) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const std::int64_t from = at + 16 * j;
      const __m512 x = _mm512_maskz_loadu_ps(First16(cols - from), in + from);
      sum[j] = _mm512_fmadd_ps(x, x, sum[j]);
    }
  }
  return SumOf16(_mm512_add_ps(_mm512_add_ps(sum[0], sum[1]), _mm512_add_ps(sum[2], sum[3])));
}

// 16 normed columns; zero from `cols` on even when the row is not finite.
__m512 Normed(const RmsNormArgs& args, const float* in, std::int64_t at, __m512 scale) {
  const __mmask16 mask = First16(args.in.cols - at);
  const __m512 x = _mm512_maskz_loadu_ps(mask, in + at);
  const __m512 weight = _mm512_maskz_loadu_ps(mask, args.weight.data() + at);
  return _mm512_maskz_mul_ps(mask, weight, _mm512_mul_ps(x, scale));
}

}  // namespace

namespace avx512 {

void RmsNorm(const RmsNormArgs& args, const Lane& lane) {
  for (std::int64_t r = TakeTicket(lane); r < args.in.rows; r = TakeTicket(lane)) {
    const float* const in = args.in.data + r * args.in.stride;
    std::byte* const out = args.out.data + r * args.out.stride_bytes;
    const float mean = SumOfSquares(in, args.in.cols) / static_cast<float>(args.in.cols);
    const __m512 scale =
        _mm512_div_ps(_mm512_set1_ps(1.0f), _mm512_sqrt_ps(_mm512_set1_ps(mean + args.eps)));
    for (std::int64_t at = 0; at < args.in.cols; at += 32)
      _mm512_store_si512(out + at * 2,
                         NarrowBf16(Normed(args, in, at, scale), Normed(args, in, at + 16, scale)));
  }
}

}  // namespace avx512
}  // namespace conclave
