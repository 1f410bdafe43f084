// The matrix product both `linear` and `ffn` are made of: up to kRowBlock activation rows times one
// panel of 64 channels.
//
//   panel  [k / 2][64 channels][2]   bf16, k padded to 32 elements; contiguous, so that decoding
//                                    streams it
//   rows   [rows]                    pointers to activation rows, read in place
//   acc    [rows][64]                float, on the stack
//
// Each sum has one accumulator and runs over pairs in rising order, whatever the number of rows: a
// row's bits cannot depend on its neighbours. Between blocks of k the accumulators are stored and
// loaded, which changes nothing.
#pragma once

#include "kernels/activations.h"
#include "kernels/avx512_inl.h"

namespace conclave {
namespace {

constexpr std::int64_t kPanelChannels = 64;
constexpr std::int64_t kRowBlock = 96;      // rows that share one pass of a panel
constexpr std::int64_t kTileRows = 6;       // 24 accumulators, 4 weights, 1 broadcast: 29 of 32
constexpr std::int64_t kPairsBlock = 1024;  // of k, so that 256 KiB of a panel stay in L2
constexpr std::int64_t kPairBytes = kPanelChannels * 4;  // of a panel

constexpr std::int64_t PanelBytes(std::int64_t k) { return PaddedCols(k) / 2 * kPairBytes; }

// kAhead: also brings one cache line per pair of `ahead` into L2.
template <int kRows, bool kAhead>
void Tile(const std::byte* const* rows, const std::byte* panel, std::int64_t pairs, float* acc,
          bool first, const std::byte* ahead) {
  __m512 c[kRows][4];
  const std::byte* a[kRows];
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) {
    a[m] = rows[m];
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j)
      c[m][j] = first ? _mm512_setzero_ps() : _mm512_loadu_ps(acc + m * kPanelChannels + 16 * j);
  }
#pragma GCC unroll 2
  for (std::int64_t i = 0; i < pairs; ++i) {
    const __m512i b0 = _mm512_load_si512(panel + i * kPairBytes);
    const __m512i b1 = _mm512_load_si512(panel + i * kPairBytes + 64);
    const __m512i b2 = _mm512_load_si512(panel + i * kPairBytes + 128);
    const __m512i b3 = _mm512_load_si512(panel + i * kPairBytes + 192);
    if constexpr (kAhead) _mm_prefetch(ahead + i * 64, _MM_HINT_T1);
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) {
      const __m512i x = BroadcastPair(a[m] + i * 4);
      DotPairs(c[m][0], x, b0);
      DotPairs(c[m][1], x, b1);
      DotPairs(c[m][2], x, b2);
      DotPairs(c[m][3], x, b3);
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m)
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) _mm512_storeu_ps(acc + m * kPanelChannels + 16 * j, c[m][j]);
}

using TileFn = void (*)(const std::byte* const*, const std::byte*, std::int64_t, float*, bool,
                        const std::byte*);
constexpr TileFn kTiles[2][kTileRows] = {
    {Tile<1, false>, Tile<2, false>, Tile<3, false>, Tile<4, false>, Tile<5, false>,
     Tile<6, false>},
    {Tile<1, true>, Tile<2, true>, Tile<3, true>, Tile<4, true>, Tile<5, true>, Tile<6, true>}};

// acc[r][c] = sum over k of rows[r] * panel[c]. `next` is the panel that this thread needs
// afterwards, or null. With more than one tile, `next` is fetched into L2 meanwhile, one line per
// pair (two were measured slower); with one tile the hardware streams better alone.
inline void RowsTimesPanel(const std::byte* const* rows, std::int64_t count, const std::byte* panel,
                           std::int64_t k, const std::byte* next, float* acc) {
  const std::int64_t pairs = PaddedCols(k) / 2;
  const std::int64_t tiles = CeilDiv(count, kTileRows);
  const std::int64_t small = count / tiles;           // rows of a tile, or one more
  const std::int64_t larger = count - small * tiles;  // tiles that have one more
  const bool ahead = next != nullptr && tiles > 1;
  const std::byte* fetch = next;
  const std::byte* const fetch_end = ahead ? next + pairs * kPairBytes : nullptr;
  for (std::int64_t begin = 0; begin < pairs; begin += kPairsBlock) {
    const std::int64_t block = pairs - begin < kPairsBlock ? pairs - begin : kPairsBlock;
    std::int64_t row = 0;
    for (std::int64_t t = 0; t < tiles; ++t) {
      const std::int64_t height = small + (t < larger ? 1 : 0);
      const std::byte* at[kTileRows];
      for (std::int64_t m = 0; m < height; ++m) at[m] = rows[row + m] + begin * 4;
      const bool fetching = ahead && fetch_end - fetch >= block * 64;
      kTiles[fetching ? 1 : 0][height - 1](at, panel + begin * kPairBytes, block,
                                           acc + row * kPanelChannels, begin == 0, fetch);
      if (fetching) fetch += block * 64;
      row += height;
    }
  }
}

}  // namespace
}  // namespace conclave
