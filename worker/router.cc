#include <algorithm>

#include "worker/step.h"

namespace conclave {
namespace {

// Routes of the sequences that asked for them, [positions][moe layers][topk] each.
void Record(StepContext& step) {
  const auto topk = static_cast<std::size_t>(step.model.topk);
  const auto layers = static_cast<std::size_t>(step.model.moe_layers);
  const auto layer = static_cast<std::size_t>(step.moe_layer());
  std::size_t entry = 0;
  for (std::size_t i = 0; i < step.ask->part.chunks.size(); ++i) {
    if (!step.sequences.OfChunk(i).sampling.routed_experts) continue;
    const AttentionSpan& span = step.ws.spans[i];
    std::vector<std::uint16_t>& ids = step.result.routed[entry++].ids;
    for (std::int64_t r = 0; r < span.rows; ++r) {
      const std::size_t at = (static_cast<std::size_t>(r) * layers + layer) * topk;
      std::copy_n(step.ws.route_ids.row(span.row_begin + r), topk, ids.data() + at);
    }
  }
}

}  // namespace

After Route(StepContext& step) {
  if (step.rows == 0) return After::kNext;
  Workspace& ws = step.ws;
  const Shard::Layer& weights = step.weights();
  const Activations normed = ws.normed.slice(0, step.rows);
  const MatrixView<float> logits = ws.router_logits.slice(0, step.rows);
  step.lanes.Run([&](const Lane& lane) {
    step.kernels.rms_norm({.in = ws.hidden.slice(0, step.rows),
                           .weight = weights.ffn_norm,
                           .eps = static_cast<float>(step.model.rms_eps),
                           .out = normed},
                          lane);
  });
  step.lanes.Run([&](const Lane& lane) {
    step.kernels.linear({.in = normed, .w = weights.router, .bias = {}, .out = logits}, lane);
  });
  step.lanes.Run([&](const Lane& lane) {
    step.kernels.router_topk({.logits = logits,
                              .k = step.model.topk,
                              .normalise = step.model.norm_topk,
                              .ids = ws.route_ids.slice(0, step.rows),
                              .weights = ws.route_weights.slice(0, step.rows),
                              .bad_rows = &step.bad_router_rows},
                             lane);
  });
  Record(step);
  const PackedMatrix& router = weights.router;
  step.Charge(PhaseId::kRoute,
              {.bytes = step.kernels.packed_bytes(router.n, router.k),
               .ops = static_cast<std::uint64_t>(2 * step.rows * router.n * router.k)});
  return After::kNext;
}

}  // namespace conclave
