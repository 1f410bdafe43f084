// One block of positions at a time, in rising order, in double throughout; rounded once at the end.
#include <array>
#include <cmath>

#include "base/numeric.h"
#include "kernels/attention/kv_layout_ref.h"
#include "kernels/ref_dot.h"
#include "kernels/ref_set.h"

namespace conclave::ref {
namespace {

// What has been folded so far for one query: softmax weights relative to exp(max).
struct Folded {
  double max = 0;
  double sum = 0;
  std::array<double, kHeadDimMax> weighted{};  // sum of weight * v
};

double LoadKv(const std::byte* at, DType dtype, int i) {
  return Wide(LoadActivation(at, dtype, i));  // the cache knows the same two types
}

// Adds `count` positions of one block to what is folded.
void FoldBlock(const std::byte* block, const KvShape& kv, int head, int count, const double* q,
               Folded& folded) {
  std::array<double, kKvBlockTokens> score{};
  double max = folded.sum == 0 ? -HUGE_VAL : folded.max;
  for (int t = 0; t < count; ++t) {
    const std::byte* key = block + KvOffset(kv, KvPart::kKey, head, t);
    double dot = 0;
    for (int i = 0; i < kv.head_dim; ++i) dot += q[i] * LoadKv(key, kv.dtype, i);
    score[static_cast<std::size_t>(t)] = dot;
    max = std::max(max, dot);
  }
  const double rescale = folded.sum == 0 ? 0.0 : Exp(folded.max - max);
  folded.sum *= rescale;
  for (int i = 0; i < kv.head_dim; ++i) folded.weighted[static_cast<std::size_t>(i)] *= rescale;
  folded.max = max;
  for (int t = 0; t < count; ++t) {
    const double weight = Exp(score[static_cast<std::size_t>(t)] - max);
    const std::byte* value = block + KvOffset(kv, KvPart::kValue, head, t);
    folded.sum += weight;
    for (int i = 0; i < kv.head_dim; ++i) {
      folded.weighted[static_cast<std::size_t>(i)] += weight * LoadKv(value, kv.dtype, i);
    }
  }
}

struct Query {
  std::int64_t row;
  int head;
  std::int64_t positions;  // sees 0..positions-1
};

void Attend(const AttentionArgs& args, const AttentionSpan& span, const Query& query) {
  const KvShape& kv = args.kv;
  const int kv_head = query.head / (args.heads / kv.kv_heads);
  const double scale = 1.0 / std::sqrt(static_cast<double>(kv.head_dim));
  const std::int64_t first = std::int64_t{query.head} * kv.head_dim;
  std::array<double, kHeadDimMax> q{};
  for (int i = 0; i < kv.head_dim; ++i) {
    q[static_cast<std::size_t>(i)] =
        Wide(LoadActivation(args.q.row(query.row), args.q.dtype, first + i)) * scale;
  }
  Folded folded;
  const auto block_bytes = static_cast<std::int64_t>(BlockBytes(kv));
  for (std::int64_t begin = 0; begin < query.positions; begin += kKvBlockTokens) {
    const BlockId id = span.blocks[static_cast<std::size_t>(begin / kKvBlockTokens)];
    const auto count =
        static_cast<int>(std::min<std::int64_t>(kKvBlockTokens, query.positions - begin));
    FoldBlock(args.kv_layer + id.value * block_bytes, kv, kv_head, count, q.data(), folded);
  }
  std::byte* out = args.out.row(query.row);
  for (int i = 0; i < kv.head_dim; ++i) {
    const double value = folded.weighted[static_cast<std::size_t>(i)] / folded.sum;
    StoreActivation(out, args.out.dtype, first + i, static_cast<float>(value));
  }
  if (query.head == args.heads - 1) ZeroPadding(out, args.out.dtype, args.out.cols);
}

}  // namespace

std::size_t KvBlockBytes(const KvShape& shape) { return BlockBytes(shape); }

void Attention(const AttentionArgs& args, const Lane& lane) {
  CheckActivations(args.q);
  CheckActivations(args.out);
  CONCLAVE_CHECK(args.kv.head_dim <= kHeadDimMax, "head_dim %d", args.kv.head_dim);
  for (const AttentionSpan& span : args.spans) {
    const Share share = ShareOf(span.rows * args.heads, lane.index, lane.count);
    for (std::int64_t item = share.begin; item < share.end; ++item) {
      const std::int64_t i = item / args.heads;
      Attend(args, span,
             {.row = span.row_begin + i,
              .head = static_cast<int>(item % args.heads),
              .positions = span.position_begin + i + 1});
    }
  }
}

}  // namespace conclave::ref
