#include <array>
#include <cmath>

#include "kernels/attention/kv_layout_ref.h"
#include "kernels/ref_dot.h"
#include "kernels/ref_set.h"

namespace conclave::ref {
namespace {

using Head = std::array<float, kHeadDimMax>;

// head = rotate(norm(in)); norm is left out where there is no weight.
void NormAndRotate(const float* in, std::span<const float> norm, const QkvFinishArgs& args,
                   std::int64_t row, Head& head) {
  const int dim = args.kv.head_dim;
  Head normed{};
  std::copy_n(in, dim, normed.begin());
  if (!norm.empty()) {
    double squares = 0;
    for (int i = 0; i < dim; ++i) squares += Wide(in[i]) * Wide(in[i]);
    const auto root = static_cast<float>(std::sqrt(squares / dim + Wide(args.eps)));
    for (int i = 0; i < dim; ++i) {
      const auto at = static_cast<std::size_t>(i);
      normed[at] = norm[at] * (in[i] / root);
    }
  }
  const float* cosine = args.cos.row(row);
  const float* sine = args.sin.row(row);
  const int half = dim / 2;
  for (int i = 0; i < half; ++i) {
    const double a = Wide(normed[static_cast<std::size_t>(i)]);
    const double b = Wide(normed[static_cast<std::size_t>(i + half)]);
    const double c = Wide(cosine[i]);
    const double s = Wide(sine[i]);
    head[static_cast<std::size_t>(i)] = static_cast<float>(a * c - b * s);
    head[static_cast<std::size_t>(i + half)] = static_cast<float>(b * c + a * s);
  }
}

void FinishRow(const QkvFinishArgs& args, std::int64_t row) {
  const int dim = args.kv.head_dim;
  const float* q = args.qkv.row(row);
  const float* k = q + std::int64_t{args.heads} * dim;
  const float* v = k + std::int64_t{args.kv.kv_heads} * dim;
  Head head{};
  for (int h = 0; h < args.heads; ++h) {
    NormAndRotate(q + h * dim, args.q_norm, args, row, head);
    for (int i = 0; i < dim; ++i) {
      StoreActivation(args.q.row(row), args.q.dtype, h * dim + i,
                      head[static_cast<std::size_t>(i)]);
    }
  }
  ZeroPadding(args.q.row(row), args.q.dtype, args.q.cols);

  const KvPlace& place = args.places[static_cast<std::size_t>(row)];
  std::byte* block =
      args.kv_layer + place.block.value * static_cast<std::int64_t>(BlockBytes(args.kv));
  for (int h = 0; h < args.kv.kv_heads; ++h) {
    NormAndRotate(k + h * dim, args.k_norm, args, row, head);
    std::byte* key = block + KvOffset(args.kv, KvPart::kKey, h, place.offset);
    std::byte* value = block + KvOffset(args.kv, KvPart::kValue, h, place.offset);
    for (int i = 0; i < dim; ++i) {
      StoreActivation(key, args.kv.dtype, i, head[static_cast<std::size_t>(i)]);
      StoreActivation(value, args.kv.dtype, i, v[h * dim + i]);
    }
  }
}

}  // namespace

void QkvFinish(const QkvFinishArgs& args, const Lane& lane) {
  CheckActivations(args.q);
  CONCLAVE_CHECK(args.kv.head_dim <= kHeadDimMax, "head_dim %d", args.kv.head_dim);
  const Share share = ShareOf(args.qkv.rows, lane.index, lane.count);
  for (std::int64_t r = share.begin; r < share.end; ++r) FinishRow(args, r);
}

}  // namespace conclave::ref
