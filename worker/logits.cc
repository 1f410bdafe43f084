#include <algorithm>

#include "worker/step.h"

namespace conclave {

// The next block of rows that want logits: gathered, normed, multiplied with the head.
After Logits(StepContext& step) {
  const std::int64_t rows = std::min(kLogitRows, step.logit_rows - step.logits_done);
  if (rows == 0) return After::kNext;
  Workspace& ws = step.ws;
  for (std::int64_t i = 0; i < rows; ++i) {
    const LogitRow& wanted = ws.logit_rows[static_cast<std::size_t>(step.logits_done + i)];
    std::copy_n(ws.hidden.row(wanted.row), step.model.hidden, ws.logit_hidden.row(i));
  }
  const PackedMatrix& head = step.shard.head();
  const Activations normed = ws.logit_normed.slice(0, rows);
  const MatrixView<float> logits = ws.logits.slice(0, rows);
  step.lanes.Run([&](const Lane& lane) {
    step.kernels.rms_norm({.in = ws.logit_hidden.slice(0, rows),
                           .weight = step.shard.final_norm(),
                           .eps = static_cast<float>(step.model.rms_eps),
                           .out = normed},
                          lane);
  });
  step.lanes.Run([&](const Lane& lane) {
    step.kernels.linear({.in = normed, .w = head, .bias = {}, .out = logits}, lane);
  });
  step.lanes.Run([&](const Lane& lane) {
    step.kernels.logit_stats({.logits = logits, .slices = ws.logit_slices.slice(0, rows)}, lane);
  });
  step.Charge(PhaseId::kLogits, {.bytes = step.kernels.packed_bytes(head.n, head.k),
                                 .ops = static_cast<std::uint64_t>(2 * rows * head.n * head.k)});
  return After::kNext;
}

}  // namespace conclave
