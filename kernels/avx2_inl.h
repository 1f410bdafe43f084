// What the AVX2 files share. Included by *_avx2.cc only, each of which gets its own copy
// (avx512_inl.h says why).
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/float_types.h"
#include "kernels/lane.h"

namespace conclave {
namespace {

constexpr std::int64_t CeilDiv(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
constexpr std::int64_t MinOf(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

inline std::int64_t TakeTicket(const Lane& lane) {
  return lane.ticket->fetch_add(1, std::memory_order_relaxed);
}

// All bits of the first `n` of 8 lanes; n may be 0, negative or larger.
inline __m256i First8(std::int64_t n) {
  const int count = n >= 8 ? 8 : (n <= 0 ? 0 : static_cast<int>(n));
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

inline float* Floats(std::byte* p) { return reinterpret_cast<float*>(p); }
inline const float* Floats(const std::byte* p) { return reinterpret_cast<const float*>(p); }

// Elements at..at+7 of stored values of any alignment, widened exactly; zero from `end` on.
inline __m256 LoadWidened(const std::byte* row, DType dtype, std::int64_t at, std::int64_t end) {
  if (dtype == DType::kF32) return _mm256_maskload_ps(Floats(row) + at, First8(end - at));
  __m128i narrow = _mm_setzero_si128();
  if (end - at >= 8) {
    narrow = _mm_loadu_si128(reinterpret_cast<const __m128i*>(row + at * 2));
  } else if (end > at) {
    std::memcpy(&narrow, row + at * 2, static_cast<std::size_t>(end - at) * 2);
  }
  if (dtype == DType::kF16) return _mm256_cvtph_ps(narrow);
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(narrow), 16));
}

// Rounded to nearest even, in the upper half of each lane, the lower zero; NaN stays NaN.
inline __m256i RoundToBf16(__m256 v) {
  const __m256i bits = _mm256_castps_si256(v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
  return _mm256_and_si256(_mm256_blendv_epi8(rounded, quiet, nan),
                          _mm256_set1_epi32(static_cast<int>(0xffff0000u)));
}

inline __m256 PowerOfTwo(__m256i n) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}

// e^x. Error <= 2 ulp; results below 2^-126 may be zero; x > 88.73 gives inf, NaN gives NaN.
inline __m256 Exp8(__m256 x) {
  // The constant comes first: max and min return their second operand when one is NaN.
  x = _mm256_max_ps(_mm256_set1_ps(-105.0f), x);
  x = _mm256_min_ps(_mm256_set1_ps(89.0f), x);
  const __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(0x1.715476p0f)),
                                   _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.62e400p-1f), x);  // ln 2, high part: exact
  r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.7f7d1cp-20f), r);
  // Taylor to r^7, |r| <= 0.3466: the first omitted term is below 2^-26 of the result.
  __m256 p = _mm256_set1_ps(1.0f / 5040.0f);
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 720.0f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 120.0f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 24.0f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 6.0f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.5f));
  p = _mm256_add_ps(_mm256_fmadd_ps(_mm256_mul_ps(p, r), r, r), _mm256_set1_ps(1.0f));
  // In two steps: 2^n alone may not be a float.
  const __m256i whole = _mm256_cvtps_epi32(n);
  const __m256i half = _mm256_srai_epi32(whole, 1);
  p = _mm256_mul_ps(p, PowerOfTwo(half));
  return _mm256_mul_ps(p, PowerOfTwo(_mm256_sub_epi32(whole, half)));
}

// x / (1 + e^-x). Error <= 4 ulp or 2^-100; NaN gives NaN, -inf gives -0.
inline __m256 Silu8(__m256 x) {
  const __m256 e = Exp8(_mm256_sub_ps(_mm256_setzero_ps(), x));
  const __m256 y = _mm256_div_ps(x, _mm256_add_ps(_mm256_set1_ps(1.0f), e));
  const __m256 far = _mm256_cmp_ps(x, _mm256_set1_ps(-104.0f), _CMP_LT_OQ);
  return _mm256_blendv_ps(y, _mm256_set1_ps(-0.0f), far);
}

// The sum of 8 lanes by one tree: 4 + 4, 2 + 2, 1 + 1.
inline float SumOf8(__m256 v) {
  const __m128 b = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}

}  // namespace
}  // namespace conclave
