#include "worker/step.h"

namespace conclave {
namespace {

Cost CostOf(const StepContext& step, std::span<const AttentionSpan> spans) {
  const ModelConfig& model = step.model;
  const PackedMatrix& qkv = step.weights().qkv;
  const PackedMatrix& o = step.weights().o;
  std::int64_t read = 0;   // positions of the cache, each once per span
  std::int64_t pairs = 0;  // (query, key)
  for (const AttentionSpan& span : spans) {
    read += span.position_begin + span.rows;
    pairs += span.rows * span.position_begin + span.rows * (span.rows + 1) / 2;
  }
  const auto position_bytes = static_cast<std::int64_t>(step.kv.block_bytes()) / kKvBlockTokens;
  return {.bytes = step.kernels.packed_bytes(qkv.n, qkv.k) + step.kernels.packed_bytes(o.n, o.k) +
                   static_cast<std::uint64_t>(read * position_bytes),
          .ops = static_cast<std::uint64_t>(2 * step.rows * (qkv.n * qkv.k + o.n * o.k) +
                                            4 * pairs * model.q_width())};
}

}  // namespace

After Attend(StepContext& step) {
  if (step.rows == 0) return After::kNext;
  Workspace& ws = step.ws;
  const Shard::Layer& weights = step.weights();
  const KernelSet& kernels = step.kernels;
  const auto rows = static_cast<std::size_t>(step.rows);
  const std::span<const AttentionSpan> spans = ws.spans.first(step.ask->part.chunks.size());
  const MatrixView<float> hidden = ws.hidden.slice(0, step.rows);
  const MatrixView<float> qkv = ws.qkv.slice(0, step.rows);
  const Activations normed = ws.normed.slice(0, step.rows);
  const Activations q = ws.q.slice(0, step.rows);
  const Activations attended = ws.attended.slice(0, step.rows);
  const auto eps = static_cast<float>(step.model.rms_eps);
  std::byte* const kv_layer = step.kv.layer(step.layer);

  step.lanes.Run([&](const Lane& lane) {
    kernels.rms_norm({.in = hidden, .weight = weights.attention_norm, .eps = eps, .out = normed},
                     lane);
  });
  step.lanes.Run([&](const Lane& lane) {
    kernels.linear({.in = normed, .w = weights.qkv, .bias = {}, .out = qkv}, lane);
  });
  step.lanes.Run([&](const Lane& lane) {
    kernels.qkv_finish({.qkv = qkv,
                        .q_norm = weights.q_norm,
                        .k_norm = weights.k_norm,
                        .eps = eps,
                        .cos = ws.cos.slice(0, step.rows),
                        .sin = ws.sin.slice(0, step.rows),
                        .heads = step.model.heads,
                        .kv = step.kv.shape(),
                        .kv_layer = kv_layer,
                        .places = ws.places.first(rows),
                        .q = q},
                       lane);
  });
  step.lanes.Run([&](const Lane& lane) {
    kernels.attention({.q = q,
                       .spans = spans,
                       .heads = step.model.heads,
                       .kv = step.kv.shape(),
                       .kv_layer = kv_layer,
                       .out = attended},
                      lane);
  });
  step.lanes.Run([&](const Lane& lane) {
    kernels.linear_add({.in = attended, .w = weights.o, .bias = {}, .out = hidden}, lane);
  });
  step.Charge(PhaseId::kAttend, CostOf(step, spans));
  return After::kNext;
}

}  // namespace conclave
