// Attention in tiles: up to 64 lines (rows x query heads of one kv head) walk the positions
// together in folds of 128, in passes of up to 8 lines. A decode row is a tile with one row.
#include "kernels/attention/attention.h"
#include "kernels/attention/score_avx512_inl.h"
#include "kernels/avx512_kernels.h"

namespace conclave {
namespace {

constexpr std::int64_t kLinesPerTile = 64;

template <typename Kv, int kLines>
void Values(Pass& pass, const Line* lines, int first, std::int64_t positions) {
  std::int64_t channel = 0;
  // As many channels at a time as 24 accumulators allow; which ones go together changes no bit.
  if constexpr (kLines <= 3)
    for (; channel + 128 <= pass.channels; channel += 128)
      Kv::template Values<kLines, 8>(pass, lines, first, channel, positions);
  if constexpr (kLines <= 6)
    for (; channel + 64 <= pass.channels; channel += 64)
      Kv::template Values<kLines, 4>(pass, lines, first, channel, positions);
  for (; channel + 32 <= pass.channels; channel += 32)
    Kv::template Values<kLines, 2>(pass, lines, first, channel, positions);
  for (; channel < pass.channels; channel += 16)
    Kv::template Values<kLines, 1>(pass, lines, first, channel, positions);
}

template <typename Kv, bool kAhead>
struct Products {
  using ScoresFn = void (*)(Pass&, const Line*, std::int64_t, __m512);
  using ValuesFn = void (*)(Pass&, const Line*, int, std::int64_t);
  static constexpr ScoresFn kScores[kLinesPerPass] = {
      Kv::template Scores<1, kAhead>, Kv::template Scores<2, kAhead>,
      Kv::template Scores<3, kAhead>, Kv::template Scores<4, kAhead>,
      Kv::template Scores<5, kAhead>, Kv::template Scores<6, kAhead>,
      Kv::template Scores<7, kAhead>, Kv::template Scores<8, kAhead>};
  static constexpr ValuesFn kValues[kLinesPerPass] = {Values<Kv, 1>, Values<Kv, 2>, Values<Kv, 3>,
                                                      Values<Kv, 4>, Values<Kv, 5>, Values<Kv, 6>,
                                                      Values<Kv, 7>, Values<Kv, 8>};
};

// Turns a line's scores of this fold into probabilities relative to its new maximum. All eight
// vectors are always computed; those past the line's position count as -inf and add zero.
template <typename Kv>
void Softmax(Pass& pass, int at, Line& line, std::int64_t positions) {
  __m512 s[kFold / 16];
  const __m512 lowest = _mm512_set1_ps(-__builtin_inff());
  __m512 top = _mm512_set1_ps(line.max);
#pragma GCC unroll 8
  for (int j = 0; j < kFold / 16; ++j) {
    s[j] = _mm512_mask_loadu_ps(lowest, First16(positions - 16 * j), pass.scores[at] + 16 * j);
    top = _mm512_max_ps(s[j], top);
  }
  const float max = _mm512_reduce_max_ps(top);
  const __m512 base = _mm512_set1_ps(max);
#pragma GCC unroll 8
  for (int j = 0; j < kFold / 16; ++j) {
    const __m512 p =
        _mm512_maskz_mov_ps(First16(positions - 16 * j), Exp16(_mm512_sub_ps(s[j], base)));
    s[j] = Kv::Keep(pass, at, 16 * j, p);
  }
  const __m512 sum =
      _mm512_add_ps(_mm512_add_ps(_mm512_add_ps(s[0], s[1]), _mm512_add_ps(s[2], s[3])),
                    _mm512_add_ps(_mm512_add_ps(s[4], s[5]), _mm512_add_ps(s[6], s[7])));
  line.correction = _mm512_cvtss_f32(Exp16(_mm512_sub_ps(_mm512_set1_ps(line.max), base)));
  line.sum = line.sum * line.correction + SumOf16(sum);
  line.max = max;
}

// Folds positions begin .. begin + kFold - 1 into up to 8 lines of rising position.
template <typename Kv, bool kAhead>
void Fold(Pass& pass, Line* lines, int count, std::int64_t begin, __m512 scale) {
  while (count > 0 && lines->position < begin) {
    ++lines;
    --count;
  }
  if (count == 0) return;
  const auto seen = [&](int i) {
    const std::int64_t n = lines[i].position - begin + 1;
    return n < kFold ? n : kFold;
  };
  const std::int64_t blocks = CeilDiv(seen(count - 1), kKvBlockTokens);
  Products<Kv, kAhead>::kScores[count - 1](pass, lines, blocks, scale);
  for (int i = 0; i < count; ++i) Softmax<Kv>(pass, i, lines[i], seen(i));
  // Lines that see the same positions share the loads of v; near the diagonal those are one row's.
  for (int first = 0; first < count;) {
    int end = first + 1;
    while (end < count && seen(end) == seen(first)) ++end;
    Products<Kv, kAhead>::kValues[end - first - 1](pass, lines + first, first, seen(first));
    first = end;
  }
}

// Rows and query heads that one thread takes at a time; all heads read kv_head.
struct Tile {
  const AttentionSpan* span = nullptr;  // null: no work left
  std::int64_t row = 0;                 // within the span
  std::int64_t rows = 0;
  std::int64_t head = 0;
  std::int64_t heads = 0;
  std::int64_t kv_head = 0;
};

void StoreLine(const Line& line, std::int64_t dim, std::byte* out) {
  const __m512 sum = _mm512_set1_ps(line.sum);
  for (std::int64_t i = 0; i < dim; i += 16)
    _mm256_mask_storeu_epi16(out + i * 2, First16(dim - i),
                             NarrowBf16(_mm512_div_ps(_mm512_load_ps(line.out + i), sum)));
}

template <typename Kv>
void Attend(const AttentionArgs& args, const KvLayout& layout, const Tile& tile) {
  alignas(64) float sums[kLinesPerTile * kHeadDimMax];
  Line lines[kLinesPerTile];
  Pass pass;
  pass.head_dim = layout.head_dim;
  pass.channels = layout.channels;
  pass.v_offset = layout.v_offset;
  const std::int64_t count = tile.rows * tile.heads;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t row = tile.row + i / tile.heads;
    lines[i].q = args.q.data + (tile.span->row_begin + row) * args.q.stride_bytes +
                 (tile.head + i % tile.heads) * layout.head_dim * 2;
    lines[i].position = tile.span->position_begin + row;
    lines[i].max = -__builtin_inff();
    lines[i].out = sums + i * layout.channels;
  }
  std::memset(sums, 0, static_cast<std::size_t>(count * layout.channels * 4));
  const __m512 scale = _mm512_div_ps(
      _mm512_set1_ps(1.0f), _mm512_sqrt_ps(_mm512_set1_ps(static_cast<float>(layout.head_dim))));
  const std::int64_t last = lines[count - 1].position;
  const auto block_at = [&](std::int64_t position) {
    const BlockId block = tile.span->blocks.data()[position / kKvBlockTokens];
    return args.kv_layer + block.value * layout.block_bytes + tile.kv_head * layout.head_bytes;
  };
  for (std::int64_t begin = 0; begin <= last; begin += kFold) {
    for (std::int64_t b = 0; b < kFoldBlocks && begin + b * kKvBlockTokens <= last; ++b) {
      pass.blocks[b] = block_at(begin + b * kKvBlockTokens);
    }
    const std::int64_t next = begin + kFold;
    pass.next_fold = next > last ? pass.blocks[0] : block_at(next);
    for (std::int64_t i = 0; i < count; i += kLinesPerPass) {
      const std::int64_t left = count - i;
      const auto fold = i == 0 ? Fold<Kv, true> : Fold<Kv, false>;
      fold(pass, lines + i, static_cast<int>(left < kLinesPerPass ? left : kLinesPerPass), begin,
           scale);
    }
  }
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t row = tile.span->row_begin + tile.row + i / tile.heads;
    std::byte* const out = args.out.data + row * args.out.stride_bytes;
    const std::int64_t head = tile.head + i % tile.heads;
    StoreLine(lines[i], layout.head_dim, out + head * layout.head_dim * 2);
    const std::int64_t width = args.heads * layout.head_dim;
    if (head == args.heads - 1)
      std::memset(out + width * 2, 0, static_cast<std::size_t>((PaddedCols(width) - width) * 2));
  }
}

// Finds the tiles of rising tickets: spans in order, rows within a span, heads within rows.
class Tiles {
 public:
  explicit Tiles(const AttentionArgs& args)
      : span_(args.spans.data()),
        end_(args.spans.data() + args.spans.size()),
        group_(args.heads / args.kv.kv_heads),
        kv_heads_(args.kv.kv_heads) {
    heads_ = group_ < kLinesPerTile ? group_ : kLinesPerTile;
    parts_ = CeilDiv(group_, heads_);
    rows_ = kLinesPerTile / heads_;
  }

  Tile Find(std::int64_t ticket) {
    const std::int64_t across = kv_heads_ * parts_;
    while (span_ != end_) {
      const std::int64_t tiles = CeilDiv(span_->rows, rows_) * across;
      if (ticket < first_ + tiles) break;
      first_ += tiles;
      ++span_;
    }
    if (span_ == end_) return {};
    const std::int64_t at = ticket - first_;
    const std::int64_t row = at / across * rows_;
    const std::int64_t kv_head = at % across / parts_;
    const std::int64_t part = at % parts_ * heads_;  // within the group
    return {span_,
            row,
            rows_ < span_->rows - row ? rows_ : span_->rows - row,
            kv_head * group_ + part,
            heads_ < group_ - part ? heads_ : group_ - part,
            kv_head};
  }

 private:
  const AttentionSpan* span_;
  const AttentionSpan* end_;
  std::int64_t group_;  // query heads per kv head
  std::int64_t kv_heads_;
  std::int64_t heads_ = 0;  // per tile
  std::int64_t parts_ = 0;  // tiles that share a group of more than 64 heads
  std::int64_t rows_ = 0;   // per tile
  std::int64_t first_ = 0;  // ticket of the span's first tile
};

}  // namespace

namespace avx512 {

void Attention(const AttentionArgs& args, const Lane& lane) {
  const KvLayout layout = LayoutOf(args.kv);
  const auto attend = args.kv.dtype == DType::kF32 ? Attend<F32Kv> : Attend<Bf16Kv>;
  Tiles tiles(args);
  for (Tile tile = tiles.Find(TakeTicket(lane)); tile.span != nullptr;
       tile = tiles.Find(TakeTicket(lane)))
    attend(args, layout, tile);
}

}  // namespace avx512
}  // namespace conclave
