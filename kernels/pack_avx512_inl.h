// Rearranges weights as stored in a checkpoint into a panel of 64 channels (tile_avx512_inl.h).
// Every element is rounded to bf16 by itself, so who packs what changes nothing.
#pragma once

#include "base/tensor_view.h"
#include "kernels/tile_avx512_inl.h"

namespace conclave {
namespace {

// One channel's weights, at any alignment; data == nullptr: a channel of padding, all zero.
struct SourceRow {
  const std::byte* data = nullptr;
  DType dtype = DType::kBf16;
};

inline SourceRow RowOf(const TensorView& view, std::int64_t row) {
  const std::int64_t bytes = view.dtype == DType::kF32 ? 4 : 2;
  return {view.data + row * view.cols * bytes, view.dtype};
}

// Elements at..at+31 of a row as bf16, zero from k on.
inline __m512i LoadAsBf16(const SourceRow& row, std::int64_t at, std::int64_t k) {
  if (row.data == nullptr) return _mm512_setzero_si512();
  const __mmask32 mask = First32(k - at);
  if (row.dtype == DType::kBf16) return _mm512_maskz_loadu_epi16(mask, row.data + at * 2);
  __m512 low, high;
  if (row.dtype == DType::kF32) {
    low = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), row.data + at * 4);
    high = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask >> 16), row.data + at * 4 + 64);
  } else {
    const __m512i half = _mm512_maskz_loadu_epi16(mask, row.data + at * 2);
    low = _mm512_cvtph_ps(_mm512_castsi512_si256(half));
    high = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(half, 1));
  }
  return NarrowBf16(low, high);
}

// v[i] lane j <-> v[j] lane i, for 16 x 16 pairs.
inline void Transpose16(__m512i v[16]) {
  __m512i t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    t[2 * i] = _mm512_unpacklo_epi32(v[2 * i], v[2 * i + 1]);
    t[2 * i + 1] = _mm512_unpackhi_epi32(v[2 * i], v[2 * i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    v[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
    v[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
    v[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
    v[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(v[i], v[4 + i], 0x88);
    t[4 + i] = _mm512_shuffle_i32x4(v[i], v[4 + i], 0xdd);
    t[8 + i] = _mm512_shuffle_i32x4(v[8 + i], v[12 + i], 0x88);
    t[12 + i] = _mm512_shuffle_i32x4(v[8 + i], v[12 + i], 0xdd);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    v[i] = _mm512_shuffle_i32x4(t[i], t[8 + i], 0x88);
    v[8 + i] = _mm512_shuffle_i32x4(t[i], t[8 + i], 0xdd);
    v[4 + i] = _mm512_shuffle_i32x4(t[4 + i], t[12 + i], 0x88);
    v[12 + i] = _mm512_shuffle_i32x4(t[4 + i], t[12 + i], 0xdd);
  }
}

inline void PackPanel(const SourceRow rows[kPanelChannels], std::int64_t k, std::byte* out) {
  for (int group = 0; group < kPanelChannels; group += 16) {
    for (std::int64_t at = 0; at < k; at += 32) {
      __m512i v[16];
      for (int i = 0; i < 16; ++i) v[i] = LoadAsBf16(rows[group + i], at, k);
      Transpose16(v);
      std::byte* to = out + at / 2 * kPairBytes + group * 4;
      for (int i = 0; i < 16; ++i) _mm512_store_si512(to + i * kPairBytes, v[i]);
    }
  }
}

}  // namespace
}  // namespace conclave
