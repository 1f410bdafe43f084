#include <algorithm>
#include <cstring>

#include "worker/step.h"

namespace conclave {
namespace {

// One peer's frame: the rows it gets, once each, and which of its experts each is for.
void Pack(const StepContext& step, int peer, std::span<std::byte> bytes) {
  const DispatchPlan& plan = step.epoch->dispatch();
  const std::span<const std::int32_t> rows = plan.RowsFor(peer);
  const std::span<const DispatchEntry> slots = plan.SlotsFor(peer);
  const std::span<const std::uint16_t> owned = step.epoch->Owned(step.moe_layer(), peer);
  const DispatchFrame frame =
      BindDispatch(step.frame_shape, bytes, static_cast<std::int64_t>(rows.size()),
                   static_cast<std::int64_t>(slots.size()), static_cast<int>(owned.size()));
  step.Address(Direction::kDispatch, peer, *frame.header);
  frame.header->rows = static_cast<std::uint32_t>(rows.size());
  frame.header->slots = static_cast<std::uint32_t>(slots.size());
  frame.header->experts = static_cast<std::uint32_t>(owned.size());

  const auto experts = static_cast<std::size_t>(step.model.experts);
  const std::span<std::uint32_t> counts =
      step.ws.wire_counts.subspan(static_cast<std::size_t>(peer) * experts, experts);
  std::ranges::fill(counts, 0u);
  std::size_t row = 0;  // among the rows of the frame
  for (std::size_t i = 0; i < slots.size(); ++i) {
    if (slots[i].row != rows[row]) ++row;
    frame.slots[i] = {static_cast<std::uint16_t>(row), slots[i].expert};
    ++counts[slots[i].expert];
  }
  for (std::size_t e = 0; e < owned.size(); ++e) frame.counts[e] = counts[owned[e]];
  const auto row_bytes = static_cast<std::size_t>(step.frame_shape.row_bytes);
  const Activations normed = step.ws.normed.slice(step.slice().begin, step.slice().count);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::memcpy(frame.rows + r * row_bytes, normed.row(rows[r]), row_bytes);
  }
  SealFrame(bytes);
}

}  // namespace

After Dispatch(StepContext& step) {
  Workspace& ws = step.ws;
  DispatchPlan& plan = step.epoch->dispatch();
  const RowRange slice = step.slice();
  plan.Build(ws.route_ids.slice(slice.begin, slice.count), step.epoch->Servers(step.moe_layer()));
  if (step.alone()) return After::kNext;  // rows stay where they are

  std::size_t used = 0;
  for (int peer = 0; peer < step.epoch->peers(); ++peer) {
    if (peer == step.epoch->self()) continue;
    const std::size_t bytes =
        DispatchFrameBytes(step.frame_shape, static_cast<std::int64_t>(plan.RowsFor(peer).size()),
                           static_cast<std::int64_t>(plan.SlotsFor(peer).size()),
                           static_cast<int>(step.epoch->Owned(step.moe_layer(), peer).size()));
    ws.frames[static_cast<std::size_t>(peer)] = ws.dispatch_out.subspan(used, bytes);
    used += bytes;
  }
  (void)ForEachPeer(step, [&](int peer) {
    Pack(step, peer, ws.frames[static_cast<std::size_t>(peer)]);
    return absl::OkStatus();
  });
  step.AskExchange(ws.dispatch_in);
  step.Charge(PhaseId::kDispatch, {.bytes = 2 * used});
  return After::kExchange;
}

}  // namespace conclave
