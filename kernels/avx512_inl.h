// What the AVX-512 files share. Included by *_avx512.cc only, each of which gets its own copy: a
// function with external linkage compiled here could be handed by the linker to code that runs on
// an older CPU.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/lane.h"

namespace conclave {
namespace {

constexpr std::int64_t CeilDiv(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

inline std::int64_t TakeTicket(const Lane& lane) {
  return lane.ticket->fetch_add(1, std::memory_order_relaxed);
}

// The first `n` of 16 (32) lanes; n may be 0, negative or larger.
inline __mmask16 First16(std::int64_t n) {
  return n >= 16 ? static_cast<__mmask16>(0xffff)
                 : static_cast<__mmask16>(n <= 0 ? 0 : (1u << n) - 1u);
}
inline __mmask32 First32(std::int64_t n) {
  return n >= 32 ? 0xffffffffu : (n <= 0 ? 0u : (1u << n) - 1u);
}

// acc += a (pairs of bf16) * b, as VDPBF16PS does it: denormals are zero, MXCSR is not asked. In
// assembly because g++ 12 spills the intrinsic's accumulators.
inline void DotPairs(__m512& acc, __m512i a, __m512i b) {
  asm("vdpbf16ps %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
}

// 32 bits at any address in every lane: a pair of bf16 elements of a row.
inline __m512i BroadcastPair(const std::byte* p) {
  int bits;
  std::memcpy(&bits, p, sizeof(bits));
  return _mm512_set1_epi32(bits);
}

inline __m512 WidenBf16(__m256i v) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v), 16));
}

// Round to nearest even; denormals become zero, NaN stays NaN.
inline __m256i NarrowBf16(__m512 v) { return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(v)); }
inline __m512i NarrowBf16(__m512 low, __m512 high) {
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
}

// e^x. Error <= 2 ulp; results below 2^-126 may be zero; x > 88.73 gives inf, NaN gives NaN.
inline __m512 Exp16(__m512 x) {
  // The constant comes first: max and min return their second operand when one is NaN.
  x = _mm512_max_ps(_mm512_set1_ps(-105.0f), x);
  x = _mm512_min_ps(_mm512_set1_ps(89.0f), x);
  const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(0x1.715476p0f)),
                                        _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.62e400p-1f), x);  // ln 2, high part: exact
  r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.7f7d1cp-20f), r);
  // Taylor to r^7, |r| <= 0.3466: the first omitted term is below 2^-26 of the result.
  __m512 p = _mm512_set1_ps(1.0f / 5040.0f);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 720.0f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 120.0f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 24.0f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 6.0f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
  p = _mm512_fmadd_ps(_mm512_mul_ps(p, r), r, r);
  return _mm512_scalef_ps(_mm512_add_ps(p, _mm512_set1_ps(1.0f)), n);
}

// x / (1 + e^-x). Error <= 4 ulp; NaN gives NaN, -inf gives -0.
inline __m512 Silu16(__m512 x) {
  // Below -87 the quotient is smaller than any normal float times its size; the bound keeps
  // -inf / inf away.
  const __m512 e = Exp16(_mm512_sub_ps(_mm512_setzero_ps(), x));
  const __m512 y = _mm512_div_ps(x, _mm512_add_ps(_mm512_set1_ps(1.0f), e));
  const __mmask16 far = _mm512_cmp_ps_mask(x, _mm512_set1_ps(-104.0f), _CMP_LT_OQ);
  return _mm512_mask_mov_ps(y, far, _mm512_set1_ps(-0.0f));
}

// The sum of 16 lanes by one tree: 8 + 8, 4 + 4, 2 + 2, 1 + 1.
inline float SumOf16(__m512 v) {
  const __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v),
                                 _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(v), 1)));
  const __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}

}  // namespace
}  // namespace conclave
