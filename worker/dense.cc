#include "worker/step.h"

namespace conclave {

// A dense feed-forward is one expert that every row chooses with weight 1.
After Dense(StepContext& step) {
  if (step.rows == 0) return After::kNext;
  Workspace& ws = step.ws;
  const Shard::Layer& weights = step.weights();
  const auto rows = static_cast<std::size_t>(step.rows);
  const Activations normed = ws.normed.slice(0, step.rows);
  const std::int64_t hidden = step.model.hidden;
  const std::int64_t width = step.model.ffn_width;
  step.lanes.Run([&](const Lane& lane) {
    step.kernels.rms_norm({.in = ws.hidden.slice(0, step.rows),
                           .weight = weights.ffn_norm,
                           .eps = static_cast<float>(step.model.rms_eps),
                           .out = normed},
                          lane);
  });
  for (std::size_t r = 0; r < rows; ++r) {
    const auto row = static_cast<std::int64_t>(r);
    ws.slot_rows[r] = normed.row(row);
    ws.slot_answers[r] = ws.local_answers.row(row);
    ws.answers[r] = ws.local_answers.row(row);
  }
  const FfnGroup group{weights.dense, 0, step.rows};
  const Activations middle = ws.dense_middle.slice(0, step.rows);
  step.lanes.Run([&](const Lane& lane) {
    step.kernels.ffn_up({.groups = {&group, 1},
                         .rows = ws.slot_rows.first(rows),
                         .hidden = hidden,
                         .width = width,
                         .middle = middle},
                        lane);
  });
  step.lanes.Run([&](const Lane& lane) {
    step.kernels.ffn_down({.groups = {&group, 1},
                           .middle = middle,
                           .hidden = hidden,
                           .width = width,
                           .answers = ws.slot_answers.first(rows)},
                          lane);
  });
  step.lanes.Run([&](const Lane& lane) {
    step.kernels.combine({.answers = ws.answers.first(rows),
                          .weights = ws.ones.slice(0, step.rows),
                          .hidden = ws.hidden.slice(0, step.rows)},
                         lane);
  });
  step.Charge(PhaseId::kDense, {.bytes = step.kernels.packed_ffn_bytes(hidden, width),
                                .ops = static_cast<std::uint64_t>(6 * step.rows * hidden * width)});
  return After::kNext;
}

}  // namespace conclave
