// The two products of attention over one fold of positions, for up to 8 lines. A line is one (row,
// query head); the lines of a call read the same k and v, so their loads are shared. Each sum has
// one accumulator and runs in rising order of channels (scores) or positions (values): a line's
// bits do not depend on the other lines.
#pragma once

#include "kernels/kv_avx512_inl.h"

namespace conclave {
namespace {

constexpr int kLinesPerPass = 8;
constexpr int kFoldBlocks = 4;
constexpr int kFold = kFoldBlocks * kKvBlockTokens;  // positions per step of the online softmax

struct Line {
  const std::byte* q = nullptr;  // bf16 [head_dim]
  std::int64_t position = 0;     // sees 0..position
  float max = 0;                 // of the scores folded so far
  float sum = 0;                 // of exp(score - max)
  float correction = 0;          // what `out` is owed since the maximum rose
  float* out = nullptr;          // [channels]: sum of exp(score - max) * v
};

// What a pass works on: one kv head's blocks of one fold, and a place for its results.
struct Pass {
  std::int64_t head_dim = 0;
  std::int64_t channels = 0;
  std::int64_t v_offset = 0;
  const std::byte* blocks[kFoldBlocks] = {};
  const std::byte* next_fold = nullptr;  // its first block; any block when there is none
  alignas(64) float scores[kLinesPerPass][kFold];
  alignas(64) std::byte probabilities[kLinesPerPass][kFold * 2];  // bf16
};

struct Bf16Kv {
  static constexpr std::int64_t kValueBytes = kKvBlockTokens * 2;  // of one channel of a block's v

  template <int kLines, bool kAhead>
  static void Scores(Pass& pass, const Line* lines, std::int64_t blocks, __m512 scale) {
    for (std::int64_t b = 0; b < blocks; ++b) {
      const std::byte* k = pass.blocks[b];
      const std::byte* next = b + 1 < blocks ? pass.blocks[b + 1] : pass.next_fold;
      __m512 c[kLines][2];
#pragma GCC unroll 8
      for (int m = 0; m < kLines; ++m) c[m][0] = c[m][1] = _mm512_setzero_ps();
      for (std::int64_t i = 0; i < pass.head_dim * 2; i += 4) {
        const __m512i k0 = _mm512_load_si512(k + i * kKvBlockTokens);
        const __m512i k1 = _mm512_load_si512(k + i * kKvBlockTokens + 64);
        if constexpr (kAhead) PrefetchFor(pass, k, next, i * kKvBlockTokens);
#pragma GCC unroll 8
        for (int m = 0; m < kLines; ++m) {
          const __m512i q = BroadcastPair(lines[m].q + i);
          DotPairs(c[m][0], q, k0);
          DotPairs(c[m][1], q, k1);
        }
      }
#pragma GCC unroll 8
      for (int m = 0; m < kLines; ++m) {
        _mm512_store_ps(pass.scores[m] + b * kKvBlockTokens, _mm512_mul_ps(c[m][0], scale));
        _mm512_store_ps(pass.scores[m] + b * kKvBlockTokens + 16, _mm512_mul_ps(c[m][1], scale));
      }
    }
  }

  // Two cache lines of v of this block and two of k 2 KiB on, into L2. In a block of one head (16
  // KiB at head_dim 128) the hardware barely finds a stream before it ends: without this, decoding
  // reaches half of what it does.
  // Inlined by force: g++ 12 takes a function that only prefetches for one without effect.
  __attribute__((always_inline)) static void PrefetchFor(const Pass& pass, const std::byte* k,
                                                         const std::byte* next, std::int64_t at) {
    constexpr std::int64_t kDistance = 2048;
    _mm_prefetch(k + pass.v_offset + at, _MM_HINT_T1);
    _mm_prefetch(k + pass.v_offset + at + 64, _MM_HINT_T1);
    const std::int64_t on = at + kDistance;
    const std::byte* const to = on < pass.v_offset ? k + on : next + (on - pass.v_offset);
    _mm_prefetch(to, _MM_HINT_T1);
    _mm_prefetch(to + 64, _MM_HINT_T1);
  }

  // Keeps 16 probabilities, rounded as they will be used; returns what the sum must count.
  static __m512 Keep(Pass& pass, int line, int at, __m512 p) {
    const __m256i narrow = NarrowBf16(p);
    _mm256_store_si256(reinterpret_cast<__m256i*>(pass.probabilities[line] + at * 2), narrow);
    return WidenBf16(narrow);
  }

  // out = out * correction + p v over `positions`, for kVectors * 16 channels from `channel` on.
  // The missing half of a last pair is masked: a place not written yet may hold NaN.
  template <int kLines, int kVectors>
  static void Values(Pass& pass, const Line* lines, int first, std::int64_t channel,
                     std::int64_t positions) {
    __m512 c[kLines][kVectors];
#pragma GCC unroll 8
    for (int m = 0; m < kLines; ++m)
#pragma GCC unroll 8
      for (int j = 0; j < kVectors; ++j)
        c[m][j] = _mm512_mul_ps(_mm512_set1_ps(lines[m].correction),
                                _mm512_load_ps(lines[m].out + channel + 16 * j));
    for (std::int64_t b = 0; b * kKvBlockTokens < positions; ++b) {
      const std::byte* v = pass.blocks[b] + pass.v_offset + channel * kValueBytes;
      const std::byte* p = pass.probabilities[first] + b * kKvBlockTokens * 2;
      const std::int64_t left = positions - b * kKvBlockTokens;
      const std::int64_t pairs = (left < kKvBlockTokens ? left : kKvBlockTokens) / 2;
      for (std::int64_t i = 0; i < pairs; ++i)
        Multiply<kLines, kVectors, false>(c, p + i * 4, v + i * 64);
      if (left < kKvBlockTokens && left % 2 != 0)
        Multiply<kLines, kVectors, true>(c, p + pairs * 4, v + pairs * 64);
    }
#pragma GCC unroll 8
    for (int m = 0; m < kLines; ++m)
#pragma GCC unroll 8
      for (int j = 0; j < kVectors; ++j) _mm512_store_ps(lines[m].out + channel + 16 * j, c[m][j]);
  }

  template <int kLines, int kVectors, bool kOneOfPair>
  static void Multiply(__m512 (&c)[kLines][kVectors], const std::byte* p, const std::byte* v) {
    __m512i x[kVectors];
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j) {
      if constexpr (kOneOfPair) {
        x[j] = _mm512_maskz_loadu_epi16(0x55555555u, v + 16 * kValueBytes * j);
      } else {
        x[j] = _mm512_load_si512(v + 16 * kValueBytes * j);
      }
    }
#pragma GCC unroll 8
    for (int m = 0; m < kLines; ++m) {
      const __m512i pair = BroadcastPair(p + m * kFold * 2);
#pragma GCC unroll 8
      for (int j = 0; j < kVectors; ++j) DotPairs(c[m][j], pair, x[j]);
    }
  }
};

// The same over a float cache, kept for checking: the query is widened, probabilities stay float.
struct F32Kv {
  template <int kLines, bool kAhead>
  static void Scores(Pass& pass, const Line* lines, std::int64_t blocks, __m512 scale) {
    for (std::int64_t b = 0; b < blocks; ++b) {
      const auto* k = reinterpret_cast<const float*>(pass.blocks[b]);
      for (int m = 0; m < kLines; ++m) {
        __m512 c0 = _mm512_setzero_ps();
        __m512 c1 = _mm512_setzero_ps();
        for (std::int64_t i = 0; i < pass.head_dim; ++i) {
          std::uint16_t bits;
          std::memcpy(&bits, lines[m].q + i * 2, 2);
          const __m512 q = _mm512_castsi512_ps(_mm512_set1_epi32(bits << 16));
          c0 = _mm512_fmadd_ps(q, _mm512_load_ps(k + i * kKvBlockTokens), c0);
          c1 = _mm512_fmadd_ps(q, _mm512_load_ps(k + i * kKvBlockTokens + 16), c1);
        }
        _mm512_store_ps(pass.scores[m] + b * kKvBlockTokens, _mm512_mul_ps(c0, scale));
        _mm512_store_ps(pass.scores[m] + b * kKvBlockTokens + 16, _mm512_mul_ps(c1, scale));
      }
    }
  }

  static __m512 Keep(Pass& pass, int line, int at, __m512 p) {
    _mm512_store_ps(pass.scores[line] + at, p);
    return p;
  }

  template <int kLines, int kVectors>
  static void Values(Pass& pass, const Line* lines, int first, std::int64_t channel,
                     std::int64_t positions) {
    for (int m = 0; m < kLines; ++m) {
      for (int j = 0; j < kVectors; ++j) {
        float* const out = lines[m].out + channel + 16 * j;
        __m512 c = _mm512_mul_ps(_mm512_set1_ps(lines[m].correction), _mm512_load_ps(out));
        for (std::int64_t t = 0; t < positions; ++t) {
          const auto* v =
              reinterpret_cast<const float*>(pass.blocks[t / kKvBlockTokens] + pass.v_offset);
          c = _mm512_fmadd_ps(
              _mm512_set1_ps(pass.scores[first + m][t]),
              _mm512_load_ps(v + t % kKvBlockTokens * pass.channels + channel + 16 * j), c);
        }
        _mm512_store_ps(out, c);
      }
    }
  }
};

}  // namespace
}  // namespace conclave
