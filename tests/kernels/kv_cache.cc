#include "tests/kernels/kv_cache.h"

#include "tests/kernels/conformance.h"

namespace conclave::conformance {

void FillCache(const KernelSet& kernels, const KvFill& fill) {
  const auto count = static_cast<std::int64_t>(fill.places.size());
  const std::int64_t width = fill.keys.cols;
  Memory memory(0);
  const int heads = fill.kv.kv_heads;  // of queries, which nobody looks at
  const auto qkv = memory.Matrix<float>("qkv", Use::kIn, count, 3 * width);
  const auto cos = memory.Matrix<float>("cos", Use::kIn, count, fill.kv.head_dim / 2);
  const auto sin = memory.Matrix<float>("sin", Use::kIn, count, fill.kv.head_dim / 2);
  for (std::int64_t r = 0; r < count; ++r) {
    std::fill_n(qkv.row(r), width, 0.0f);
    std::copy_n(fill.keys.row(r), width, qkv.row(r) + width);
    std::copy_n(fill.values.row(r), width, qkv.row(r) + 2 * width);
    std::fill_n(cos.row(r), cos.cols, 1.0f);
    std::fill_n(sin.row(r), sin.cols, 0.0f);
  }
  const QkvFinishArgs args{
      .qkv = qkv,
      .q_norm = {},
      .k_norm = {},
      .eps = 0,
      .cos = cos,
      .sin = sin,
      .heads = heads,
      .kv = fill.kv,
      .kv_layer = fill.layer,
      .places = fill.places,
      .q = memory.ActivationRows("q", Use::kOut, kernels.activation, count, width)};
  RunLanes(1, [&](const Lane& lane) { kernels.qkv_finish(args, lane); });
}

}  // namespace conclave::conformance
