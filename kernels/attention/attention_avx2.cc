// Attention with AVX2 over the reference's cache layout: a block's k and v of one head are widened
// once and then serve up to 32 lines (rows x query heads). One fold of the online softmax is a
// block.
#include "kernels/attention/attention.h"
#include "kernels/attention/kv_layout_ref.h"
#include "kernels/avx2_inl.h"
#include "kernels/avx2_kernels.h"

namespace conclave {
namespace {

constexpr std::int64_t kLinesPerTile = 32;
constexpr int kPositions = kKvBlockTokens;

struct Line {
  const float* q = nullptr;   // [head_dim], padded with zeros to 8
  std::byte* out = nullptr;   // float [head_dim]
  std::int64_t position = 0;  // sees 0..position
  float max = 0;
  float sum = 0;
};

// A block's k and v of one head in float, rows padded with zeros to 8, and a place for the lines'
// sums of exp(score - max) * v.
struct Scratch {
  alignas(32) float k[kPositions][kHeadDimMax];
  alignas(32) float v[kPositions][kHeadDimMax];
  alignas(32) float q[kLinesPerTile][kHeadDimMax];
  alignas(32) float sums[kLinesPerTile][kHeadDimMax];
  alignas(32) float scores[kPositions];
};

void Widen(const std::byte* from, DType dtype, std::int64_t dim, std::int64_t positions,
           float (*to)[kHeadDimMax]) {
  const std::int64_t bytes = dim * (dtype == DType::kF32 ? 4 : 2);
  for (std::int64_t t = 0; t < positions; ++t)
    for (std::int64_t i = 0; i < dim; i += 8)
      _mm256_store_ps(to[t] + i, LoadWidened(from + t * bytes, dtype, i, dim));
}

// Scores of `positions` positions; the rest of the block is -inf. Four positions at a time, each
// with one accumulator.
void Score(Scratch& s, const Line& line, std::int64_t dim, std::int64_t positions, float scale) {
  for (std::int64_t t = 0; t < kPositions; t += 4) {
    __m256 c[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
                   _mm256_setzero_ps()};
    if (t < positions) {
      for (std::int64_t i = 0; i < dim; i += 8) {
        const __m256 q = _mm256_load_ps(line.q + i);
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) c[j] = _mm256_fmadd_ps(q, _mm256_load_ps(s.k[t + j] + i), c[j]);
      }
    }
    for (int j = 0; j < 4; ++j)
      s.scores[t + j] = t + j < positions ? SumOf8(c[j]) * scale : -__builtin_inff();
  }
}

// Turns scores into exp(score - max); returns what `sums` is owed since the maximum rose.
float Softmax(Scratch& s, Line& line, std::int64_t positions) {
  float max = line.max;
  for (std::int64_t t = 0; t < positions; ++t) max = s.scores[t] > max ? s.scores[t] : max;
  __m256 sum = _mm256_setzero_ps();
  for (std::int64_t t = 0; t < kPositions; t += 8) {
    const __m256 e = Exp8(_mm256_sub_ps(_mm256_load_ps(s.scores + t), _mm256_set1_ps(max)));
    const __m256 p = _mm256_and_ps(e, _mm256_castsi256_ps(First8(positions - t)));
    _mm256_store_ps(s.scores + t, p);
    sum = _mm256_add_ps(sum, p);
  }
  const float correction = _mm256_cvtss_f32(Exp8(_mm256_set1_ps(line.max - max)));
  line.sum = line.sum * correction + SumOf8(sum);
  line.max = max;
  return correction;
}

// sums = sums * correction + p v, kVectors * 8 channels from `channel` on.
template <int kVectors>
void AddValues(const Scratch& s, float* sums, std::int64_t channel, std::int64_t positions,
               float correction) {
  __m256 c[kVectors];
#pragma GCC unroll 4
  for (int j = 0; j < kVectors; ++j)
    c[j] = _mm256_mul_ps(_mm256_load_ps(sums + channel + 8 * j), _mm256_set1_ps(correction));
  for (std::int64_t t = 0; t < positions; ++t) {
    const __m256 p = _mm256_broadcast_ss(s.scores + t);
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j)
      c[j] = _mm256_fmadd_ps(p, _mm256_load_ps(s.v[t] + channel + 8 * j), c[j]);
  }
#pragma GCC unroll 4
  for (int j = 0; j < kVectors; ++j) _mm256_store_ps(sums + channel + 8 * j, c[j]);
}

// Rows row .. row + rows - 1 of a span and query heads head .. head + heads - 1, of one kv head.
struct Tile {
  const AttentionSpan* span = nullptr;  // null: no work left
  std::int64_t row = 0;
  std::int64_t rows = 0;
  std::int64_t head = 0;
  std::int64_t heads = 0;
};

void Attend(const AttentionArgs& args, const Tile& tile, Scratch& s) {
  const std::int64_t dim = args.kv.head_dim;
  const auto block_bytes = static_cast<std::int64_t>(ref::BlockBytes(args.kv));
  const int kv_head = static_cast<int>(tile.head / (args.heads / args.kv.kv_heads));
  const auto k = static_cast<std::int64_t>(ref::KvOffset(args.kv, ref::KvPart::kKey, kv_head, 0));
  const auto v = static_cast<std::int64_t>(ref::KvOffset(args.kv, ref::KvPart::kValue, kv_head, 0));
  const float scale =
      _mm_cvtss_f32(_mm_div_ss(_mm_set_ss(1.0f), _mm_sqrt_ss(_mm_set_ss(static_cast<float>(dim)))));
  Line lines[kLinesPerTile];
  const std::int64_t count = tile.rows * tile.heads;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t row = tile.row + i / tile.heads;
    const std::int64_t at = (tile.head + i % tile.heads) * dim * 4;
    const std::int64_t in_batch = tile.span->row_begin + row;
    Widen(args.q.data + in_batch * args.q.stride_bytes + at, DType::kF32, dim, 1, s.q + i);
    lines[i].q = s.q[i];
    lines[i].out = args.out.data + in_batch * args.out.stride_bytes + at;
    lines[i].position = tile.span->position_begin + row;
    lines[i].max = -__builtin_inff();
    std::memset(s.sums[i], 0, sizeof(s.sums[i]));
  }
  const std::int64_t last = lines[count - 1].position;
  for (std::int64_t begin = 0; begin <= last; begin += kPositions) {
    const std::byte* block =
        args.kv_layer + tile.span->blocks.data()[begin / kPositions].value * block_bytes;
    const std::int64_t written = MinOf(last - begin + 1, kPositions);
    Widen(block + k, args.kv.dtype, dim, written, s.k);
    Widen(block + v, args.kv.dtype, dim, written, s.v);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t seen = MinOf(lines[i].position - begin + 1, kPositions);
      if (seen <= 0) continue;
      Score(s, lines[i], dim, seen, scale);
      const float correction = Softmax(s, lines[i], seen);
      std::int64_t channel = 0;
      for (; channel + 32 <= dim; channel += 32)
        AddValues<4>(s, s.sums[i], channel, seen, correction);
      for (; channel < dim; channel += 8) AddValues<1>(s, s.sums[i], channel, seen, correction);
    }
  }
  for (std::int64_t i = 0; i < count; ++i)
    for (std::int64_t c = 0; c < dim; c += 8)
      _mm256_maskstore_ps(
          Floats(lines[i].out) + c, First8(dim - c),
          _mm256_div_ps(_mm256_load_ps(s.sums[i] + c), _mm256_set1_ps(lines[i].sum)));
}

// Beyond the last head a row is zero up to its padded width.
void ZeroPadding(const AttentionArgs& args, const Tile& tile) {
  const std::int64_t width = args.heads * args.kv.head_dim;
  if (tile.head + tile.heads != args.heads) return;
  for (std::int64_t r = 0; r < tile.rows; ++r) {
    const std::int64_t row = tile.span->row_begin + tile.row + r;
    std::memset(args.out.data + row * args.out.stride_bytes + width * 4, 0,
                static_cast<std::size_t>((PaddedCols(width) - width) * 4));
  }
}

// The tile of a ticket: spans in order, rows within a span, heads within rows. `first` is the
// ticket of the span's first tile; both move on as tickets rise.
Tile Find(const AttentionArgs& args, std::int64_t ticket, const AttentionSpan*& span,
          std::int64_t& first) {
  const std::int64_t group = args.heads / args.kv.kv_heads;
  const std::int64_t heads = MinOf(group, kLinesPerTile);
  const std::int64_t parts = CeilDiv(group, heads);
  const std::int64_t rows = kLinesPerTile / heads;
  const std::int64_t across = args.kv.kv_heads * parts;
  const AttentionSpan* const end = args.spans.data() + args.spans.size();
  while (span != end && ticket >= first + CeilDiv(span->rows, rows) * across) {
    first += CeilDiv(span->rows, rows) * across;
    ++span;
  }
  if (span == end) return {};
  const std::int64_t at = ticket - first;
  const std::int64_t row = at / across * rows;
  const std::int64_t part = at % parts * heads;
  return {span, row, MinOf(rows, span->rows - row), at % across / parts * group + part,
          MinOf(heads, group - part)};
}

}  // namespace

namespace avx2 {

void Attention(const AttentionArgs& args, const Lane& lane) {
  Scratch scratch;
  const AttentionSpan* span = args.spans.data();
  std::int64_t first = 0;
  for (Tile tile = Find(args, TakeTicket(lane), span, first); tile.span != nullptr;
       tile = Find(args, TakeTicket(lane), span, first)) {
    Attend(args, tile, scratch);
    ZeroPadding(args, tile);
  }
}

}  // namespace avx2
}  // namespace conclave
