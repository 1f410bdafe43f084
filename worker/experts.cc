#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status.h"
#include "worker/step.h"

namespace conclave {
namespace {

absl::Status Verify(const StepContext& step, int peer) {
  const Slot slot = step.epoch->slot(peer);
  const std::span<std::byte> frame = step.ws.dispatch_in.From(slot);
  if (frame.empty()) {
    return absl::DataLossError(absl::StrCat("no dispatch frame from slot ", slot.value));
  }
  return VerifyDispatch(step.frame_shape, step.Expect(Direction::kDispatch, peer, 0),
                        step.epoch->Owned(step.moe_layer(), step.epoch->self()), frame);
}

// Every frame is checked completely before a byte of any is used; none has more rows than its
// sender's slice, so there is memory for the answers to all of them. An answer frame is laid out
// for each: experts write their answers where they leave from.
absl::Status Arrive(StepContext& step) {
  RETURN_IF_ERROR(ForEachPeer(step, [&](int peer) { return Verify(step, peer); }));
  Workspace& ws = step.ws;
  std::size_t used = 0;
  for (int peer = 0; peer < step.epoch->peers(); ++peer) {
    if (peer == step.epoch->self()) continue;
    const std::span<std::byte> frame = ws.dispatch_in.From(step.epoch->slot(peer));
    const auto* header = reinterpret_cast<const FrameHeader*>(frame.data());
    const std::size_t bytes = SendBackFrameBytes(step.frame_shape, header->slots);
    ws.frames[static_cast<std::size_t>(peer)] = ws.sendback_out.subspan(used, bytes);
    used += bytes;
    step.result.bytes_received += frame.size();
  }
  step.Charge(PhaseId::kDispatch, {.bytes = ws.dispatch_in.bytes()});
  return absl::OkStatus();
}

// Calls use(expert, activation row, answer row) for every slot to run: by source, rising; within
// one by row, then k.
template <typename Use>
void ForEachSlot(const StepContext& step, Use use) {
  const Workspace& ws = step.ws;
  const Activations normed = ws.normed.slice(step.slice().begin, step.slice().count);
  for (int peer = 0; peer < step.epoch->peers(); ++peer) {
    if (peer == step.epoch->self()) {
      for (const DispatchEntry& entry : step.epoch->dispatch().SlotsFor(peer)) {
        use(entry.expert, normed.row(entry.row),
            ws.local_answers.row(entry.row * step.model.topk + entry.k));
      }
      continue;
    }
    const std::span<std::byte> arrived = ws.dispatch_in.From(step.epoch->slot(peer));
    const auto* header = reinterpret_cast<const FrameHeader*>(arrived.data());
    const DispatchFrame frame = BindDispatch(step.frame_shape, arrived, header->rows, header->slots,
                                             static_cast<int>(header->experts));
    const SendBackFrame back =
        BindSendBack(step.frame_shape, ws.frames[static_cast<std::size_t>(peer)], header->slots);
    for (std::uint32_t i = 0; i < header->slots; ++i) {
      use(frame.slots[i].expert, frame.rows + frame.slots[i].row * step.frame_shape.row_bytes,
          reinterpret_cast<float*>(back.answers + i * step.frame_shape.answer_bytes));
    }
  }
}

// Sorts the slots by expert, with prefix sums; within an expert they keep ForEachSlot's order.
std::size_t Group(StepContext& step) {
  Workspace& ws = step.ws;
  const int layer = step.moe_layer();
  const auto experts = static_cast<std::size_t>(step.model.experts);
  std::ranges::fill(ws.group_cursors, 0);
  ForEachSlot(
      step, [&](std::size_t expert, const std::byte*, float*) { ++ws.group_cursors[expert + 1]; });
  std::size_t groups = 0;
  std::uint32_t* const counters =
      step.expert_rows.data() + static_cast<std::size_t>(layer) * experts;
  for (std::size_t e = 0; e < experts; ++e) {
    const std::int64_t count = ws.group_cursors[e + 1];
    ws.group_cursors[e + 1] += ws.group_cursors[e];
    if (count == 0) continue;
    const PackedFfn weights = step.shard.Expert(layer, static_cast<int>(e));
    CONCLAVE_CHECK(weights.data != nullptr, "layer %d expert %zu is not loaded", layer, e);
    ws.groups[groups++] = {weights, ws.group_cursors[e], count};
    counters[e] += static_cast<std::uint32_t>(count);
  }
  ForEachSlot(step, [&](std::size_t expert, const std::byte* row, float* answer) {
    const auto slot = static_cast<std::size_t>(ws.group_cursors[expert]++);
    ws.slot_rows[slot] = row;
    ws.slot_answers[slot] = answer;
  });
  return groups;
}

}  // namespace

After RunExperts(StepContext& step) {
  if (!step.alone()) {
    step.error = Arrive(step);
    if (!step.error.ok()) return After::kBroken;
  }
  Workspace& ws = step.ws;
  const std::size_t count = Group(step);
  if (count == 0) return After::kNext;
  const std::span<const FfnGroup> groups = ws.groups.first(count);
  const std::int64_t slots = groups.back().slot_begin + groups.back().slots;
  const auto slot_count = static_cast<std::size_t>(slots);
  const std::int64_t hidden = step.model.hidden;
  const std::int64_t width = step.model.expert_width;
  const Activations middle = ws.middle.slice(0, slots);
  step.lanes.Run([&](const Lane& lane) {
    step.kernels.ffn_up({.groups = groups,
                         .rows = ws.slot_rows.first(slot_count),
                         .hidden = hidden,
                         .width = width,
                         .middle = middle},
                        lane);
  });
  step.lanes.Run([&](const Lane& lane) {
    step.kernels.ffn_down({.groups = groups,
                           .middle = middle,
                           .hidden = hidden,
                           .width = width,
                           .answers = ws.slot_answers.first(slot_count)},
                          lane);
  });
  step.Charge(PhaseId::kExperts, {.bytes = count * step.shard.one_expert_bytes(),
                                  .ops = static_cast<std::uint64_t>(6 * slots * hidden * width)});
  return After::kNext;
}

}  // namespace conclave
