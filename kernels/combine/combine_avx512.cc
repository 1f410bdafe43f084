// Weighted answers, added in k order. Products and sums are rounded one by one (no FMA), as the
// contract asks of every set.
#include "kernels/avx512_inl.h"
#include "kernels/avx512_kernels.h"
#include "kernels/combine/combine.h"

namespace conclave {
namespace {

constexpr std::int64_t kPieceCols = 512;

void CombineCols(const CombineArgs& args, std::int64_t row, std::int64_t at, std::int64_t end) {
  const std::int64_t k = args.weights.cols;
  const float* const* const answers = args.answers.data() + row * k;
  const float* const weights = args.weights.data + row * args.weights.stride;
  float* const hidden = args.hidden.data + row * args.hidden.stride;
  for (; at < end; at += 16) {
    const __mmask16 mask = First16(end - at);
    __m512 sum =
        _mm512_mul_ps(_mm512_set1_ps(weights[0]), _mm512_maskz_loadu_ps(mask, answers[0] + at));
    for (std::int64_t j = 1; j < k; ++j)
      sum = _mm512_add_ps(sum, _mm512_mul_ps(_mm512_set1_ps(weights[j]),
                                             _mm512_maskz_loadu_ps(mask, answers[j] + at)));
    _mm512_mask_storeu_ps(hidden + at, mask,
                          _mm512_add_ps(_mm512_maskz_loadu_ps(mask, hidden + at), sum));
  }
}

}  // namespace

namespace avx512 {

void Combine(const CombineArgs& args, const Lane& lane) {
  const std::int64_t cols = args.hidden.cols;
  const std::int64_t parts = CeilDiv(cols, kPieceCols);
  const std::int64_t pieces = args.weights.cols == 0 ? 0 : args.hidden.rows * parts;
  for (std::int64_t p = TakeTicket(lane); p < pieces; p = TakeTicket(lane)) {
    const std::int64_t at = p % parts * kPieceCols;
    CombineCols(args, p / parts, at, at + kPieceCols < cols ? at + kPieceCols : cols);
  }
}

}  // namespace avx512
}  // namespace conclave
