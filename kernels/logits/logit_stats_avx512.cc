// Best id, maximum and sum of exponentials of each slice of a row of logits.
#include "kernels/avx512_inl.h"
#include "kernels/avx512_kernels.h"
#include "kernels/logits/logit_stats.h"

namespace conclave {
namespace {

// exp(x - max) of 8 lanes' worth, widened: the sum runs in double.
__m512d WidenHalf(__m512 v, bool high) {
  const __m512d d = _mm512_castps_pd(v);
  return _mm512_cvtps_pd(
      _mm256_castpd_ps(high ? _mm512_extractf64x4_pd(d, 1) : _mm512_castpd512_pd256(d)));
}

// The highest logit and the lowest id that has it; NaN never wins. best = -1: no number at all.
LogitSliceStats BestOf(const float* logits, std::int32_t begin, std::int32_t count) {
  const float lowest = -__builtin_inff();
  __m512 best = _mm512_set1_ps(lowest);
  __m512i id = _mm512_set1_epi32(-1);
  __m512i here = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  for (std::int32_t at = 0; at < count; at += 16) {
    const __mmask16 mask = First16(count - at);
    const __m512 x = _mm512_maskz_loadu_ps(mask, logits + at);
    // A lane's first number is taken even when it is -inf.
    const __mmask16 none = _mm512_cmp_epi32_mask(id, _mm512_setzero_si512(), _MM_CMPINT_LT) &
                           _mm512_cmp_ps_mask(x, x, _CMP_ORD_Q);
    const __mmask16 wins =
        mask & static_cast<__mmask16>(none | _mm512_cmp_ps_mask(x, best, _CMP_GT_OQ));
    best = _mm512_mask_mov_ps(best, wins, x);
    id = _mm512_mask_mov_epi32(id, wins, here);
    here = _mm512_add_epi32(here, _mm512_set1_epi32(16));
  }
  alignas(64) float values[16];
  alignas(64) std::int32_t ids[16];
  _mm512_store_ps(values, best);
  _mm512_store_si512(ids, id);
  LogitSliceStats stats;
  for (int j = 0; j < 16; ++j) {
    if (ids[j] < 0) continue;
    const bool wins = stats.best < 0 || values[j] > stats.max ||
                      (values[j] == stats.max && ids[j] + begin < stats.best);
    if (wins) {
      stats.best = ids[j] + begin;
      stats.max = values[j];
    }
  }
  return stats;
}

// Sum of exp(logit - max), NaN left out, an entry equal to max counting 1 even when max is
// infinite.
double SumOf(const float* logits, std::int32_t count, float max) {
  const __m512 top = _mm512_set1_ps(max);
  __m512d low = _mm512_setzero_pd();
  __m512d high = _mm512_setzero_pd();
  for (std::int32_t at = 0; at < count; at += 16) {
    const __mmask16 mask = First16(count - at);
    const __m512 x = _mm512_maskz_loadu_ps(mask, logits + at);
    const __mmask16 numbers = mask & _mm512_cmp_ps_mask(x, x, _CMP_ORD_Q);
    const __mmask16 equal = _mm512_cmp_ps_mask(x, top, _CMP_EQ_OQ);
    const __m512 difference = _mm512_maskz_sub_ps(static_cast<__mmask16>(~equal), x, top);
    const __m512 e = _mm512_maskz_mov_ps(numbers, Exp16(difference));
    low = _mm512_add_pd(low, WidenHalf(e, false));
    high = _mm512_add_pd(high, WidenHalf(e, true));
  }
  alignas(64) double lanes[8];
  _mm512_store_pd(lanes, _mm512_add_pd(low, high));
  return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) +
         ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}

}  // namespace

namespace avx512 {

void SliceStats(const LogitStatsArgs& args, const Lane& lane) {
  const std::int64_t slices = CeilDiv(args.logits.cols, kLogitSlice);
  const std::int64_t pieces = args.logits.rows * slices;
  for (std::int64_t p = TakeTicket(lane); p < pieces; p = TakeTicket(lane)) {
    const std::int64_t row = p / slices;
    const std::int64_t begin = p % slices * kLogitSlice;
    const std::int64_t left = args.logits.cols - begin;
    const auto count = static_cast<std::int32_t>(left < kLogitSlice ? left : kLogitSlice);
    const float* const logits = args.logits.data + row * args.logits.stride + begin;
    LogitSliceStats stats = BestOf(logits, static_cast<std::int32_t>(begin), count);
    if (stats.best >= 0) stats.sum = SumOf(logits, count, stats.max);
    args.slices.data[row * args.slices.stride + p % slices] = stats;
  }
}

}  // namespace avx512
}  // namespace conclave
