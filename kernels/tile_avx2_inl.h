// The AVX2 set's matrix product: float rows times a panel of 32 channels of bf16 weights.
//
//   panel  [k][2][8]    pairs: one 32-bit word holds two channels, c (lower half) and c + 8 (upper
//                       half), so that widening 16 channels is one shift and one mask
//   acc    [rows][32]   float, on the stack
//
// Each sum has one accumulator and runs over k in rising order, whatever the number of rows.
#pragma once

#include "base/tensor_view.h"
#include "kernels/avx2_inl.h"

namespace conclave {
namespace {

constexpr std::int64_t kPanelChannels = 32;
constexpr std::int64_t kRowBlock = 48;  // rows that share one pass of a panel
constexpr std::int64_t kTileRows = 6;
constexpr std::int64_t kStepBytes = kPanelChannels * 2;  // of a panel, per k

constexpr std::int64_t PanelBytes(std::int64_t k) { return k * kStepBytes; }

// kHalves: how many of a panel's 16-channel halves at once. Few rows take both, so that decoding
// reads the panel once; more rows would not fit the registers and take one after the other.
template <int kRows, int kHalves>
void Tile(const float* const* rows, const std::byte* panel, std::int64_t k, float* acc) {
  __m256 c[kRows][2 * kHalves];
  const float* a[kRows];
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) {
    a[m] = rows[m];
#pragma GCC unroll 4
    for (int j = 0; j < 2 * kHalves; ++j) c[m][j] = _mm256_setzero_ps();
  }
  const __m256i upper = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
  for (std::int64_t i = 0; i < k; ++i) {
#pragma GCC unroll 2
    for (int h = 0; h < kHalves; ++h) {
      const __m256i pairs =
          _mm256_load_si256(reinterpret_cast<const __m256i*>(panel + i * kStepBytes + 32 * h));
      const __m256 b0 = _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
      const __m256 b1 = _mm256_castsi256_ps(_mm256_and_si256(pairs, upper));
#pragma GCC unroll 8
      for (int m = 0; m < kRows; ++m) {
        const __m256 x = _mm256_broadcast_ss(a[m] + i);
        c[m][2 * h] = _mm256_fmadd_ps(x, b0, c[m][2 * h]);
        c[m][2 * h + 1] = _mm256_fmadd_ps(x, b1, c[m][2 * h + 1]);
      }
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m)
#pragma GCC unroll 4
    for (int j = 0; j < 2 * kHalves; ++j)
      _mm256_storeu_ps(acc + m * kPanelChannels + 8 * j, c[m][j]);
}

template <int kRows>
void BothHalves(const float* const* rows, const std::byte* panel, std::int64_t k, float* acc) {
  if constexpr (kRows <= 2) {
    Tile<kRows, 2>(rows, panel, k, acc);
  } else {
    Tile<kRows, 1>(rows, panel, k, acc);
    Tile<kRows, 1>(rows, panel + kStepBytes / 2, k, acc + kPanelChannels / 2);
  }
}

using TileFn = void (*)(const float* const*, const std::byte*, std::int64_t, float*);
constexpr TileFn kTiles[kTileRows] = {BothHalves<1>, BothHalves<2>, BothHalves<3>,
                                      BothHalves<4>, BothHalves<5>, BothHalves<6>};

// acc[r][c] = sum over k of rows[r] * panel[c].
inline void RowsTimesPanel(const float* const* rows, std::int64_t count, const std::byte* panel,
                           std::int64_t k, float* acc) {
  for (std::int64_t r = 0; r < count; r += kTileRows)
    kTiles[MinOf(count - r, kTileRows) - 1](rows + r, panel, k, acc + r * kPanelChannels);
}

// One channel's weights, at any alignment; data == nullptr: a channel of padding, all zero.
struct SourceRow {
  const std::byte* data = nullptr;
  DType dtype = DType::kBf16;
};

inline SourceRow RowOf(const TensorView& view, std::int64_t row) {
  const std::int64_t bytes = view.dtype == DType::kF32 ? 4 : 2;
  return {view.data + row * view.cols * bytes, view.dtype};
}

// Elements at..at+7 as bf16 in the upper half of each lane.
inline __m256i LoadRounded(const SourceRow& row, std::int64_t at, std::int64_t k) {
  if (row.data == nullptr) return _mm256_setzero_si256();
  return RoundToBf16(LoadWidened(row.data, row.dtype, at, k));
}

// v[i] lane j <-> v[j] lane i.
inline void Transpose8(__m256i v[8]) {
  __m256i t[8];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[2 * i] = _mm256_unpacklo_epi32(v[2 * i], v[2 * i + 1]);
    t[2 * i + 1] = _mm256_unpackhi_epi32(v[2 * i], v[2 * i + 1]);
  }
  __m256i u[8];
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    u[4 * i] = _mm256_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
    u[4 * i + 1] = _mm256_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
    u[4 * i + 2] = _mm256_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
    u[4 * i + 3] = _mm256_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    v[i] = _mm256_permute2x128_si256(u[i], u[4 + i], 0x20);
    v[4 + i] = _mm256_permute2x128_si256(u[i], u[4 + i], 0x31);
  }
}

inline void PackPanel(const SourceRow rows[kPanelChannels], std::int64_t k, std::byte* out) {
  for (int half = 0; half < 2; ++half) {
    const SourceRow* const low = rows + half * 16;
    for (std::int64_t at = 0; at < k; at += 8) {
      __m256i v[8];
      for (int i = 0; i < 8; ++i)
        v[i] = _mm256_or_si256(_mm256_srli_epi32(LoadRounded(low[i], at, k), 16),
                               LoadRounded(low[8 + i], at, k));
      Transpose8(v);
      for (std::int64_t i = 0; i < MinOf(8, k - at); ++i)
        _mm256_store_si256(
            reinterpret_cast<__m256i*>(out + (at + i) * kStepBytes + half * kStepBytes / 2), v[i]);
    }
  }
}

}  // namespace
}  // namespace conclave
