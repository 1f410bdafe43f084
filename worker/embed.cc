#include "worker/step.h"

namespace conclave {

After Embed(StepContext& step) {
  if (step.rows == 0) return After::kNext;
  const auto rows = static_cast<std::size_t>(step.rows);
  Workspace& ws = step.ws;
  const TensorView& table = step.shard.embedding();
  step.lanes.Run([&](const Lane& lane) {
    step.kernels.embed(
        {.ids = ws.token_ids.first(rows), .table = table, .out = ws.hidden.slice(0, step.rows)},
        lane);
  });
  // Angles depend on the position alone: once per step, not per layer. Threads divide rows.
  step.lanes.Run([&](const Lane& lane) {
    const std::int64_t each = (step.rows + lane.count - 1) / lane.count;
    const std::int64_t begin = std::min(step.rows, each * lane.index);
    const std::int64_t count = std::min(each, step.rows - begin);
    FillRope(step.rope,
             ws.positions.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count)),
             ws.cos.slice(begin, count), ws.sin.slice(begin, count));
  });
  step.Charge(PhaseId::kEmbed,
              {.bytes = rows * static_cast<std::size_t>(table.cols) * BytesOf(table.dtype)});
  return After::kNext;
}

}  // namespace conclave
