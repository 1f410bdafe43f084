#include "absl/strings/str_cat.h"
#include "worker/step.h"

namespace conclave {
namespace {

std::int64_t SlotsOf(const StepContext& step, int peer) {
  return static_cast<std::int64_t>(step.epoch->dispatch().SlotsFor(peer).size());
}

absl::Status Verify(const StepContext& step, int peer) {
  const Slot slot = step.epoch->slot(peer);
  const std::span<std::byte> frame = step.ws.sendback_in.From(slot);
  if (frame.empty()) {
    return absl::DataLossError(absl::StrCat("no sendback frame from slot ", slot.value));
  }
  return VerifySendBack(step.frame_shape,
                        step.Expect(Direction::kSendBack, peer, SlotsOf(step, peer)), frame);
}

// Where the answer of every (row, k) lies: in a frame that came, or where the experts here wrote
// it.
void Gather(StepContext& step) {
  Workspace& ws = step.ws;
  const std::int64_t topk = step.model.topk;
  for (int peer = 0; peer < step.epoch->peers(); ++peer) {
    const std::span<const DispatchEntry> slots = step.epoch->dispatch().SlotsFor(peer);
    if (peer == step.epoch->self()) {
      for (const DispatchEntry& entry : slots) {
        const std::int64_t at = entry.row * topk + entry.k;
        ws.answers[static_cast<std::size_t>(at)] = ws.local_answers.row(at);
      }
      continue;
    }
    const std::span<std::byte> frame = ws.sendback_in.From(step.epoch->slot(peer));
    const std::byte* answer =
        BindSendBack(step.frame_shape, frame, static_cast<std::int64_t>(slots.size())).answers;
    for (const DispatchEntry& entry : slots) {
      ws.answers[static_cast<std::size_t>(entry.row * topk + entry.k)] =
          reinterpret_cast<const float*>(answer);
      answer += step.frame_shape.answer_bytes;
    }
    step.result.bytes_received += frame.size();
  }
}

// Each row of the slice gets its answers, all of them in this round, in k order.
void Add(StepContext& step) {
  const RowRange slice = step.slice();
  if (slice.count == 0) return;
  Workspace& ws = step.ws;
  const std::int64_t answers = slice.count * step.model.topk;
  step.lanes.Run([&](const Lane& lane) {
    step.kernels.combine({.answers = ws.answers.first(static_cast<std::size_t>(answers)),
                          .weights = ws.route_weights.slice(slice.begin, slice.count),
                          .hidden = ws.hidden.slice(slice.begin, slice.count)},
                         lane);
  });
  step.Charge(PhaseId::kCombine,
              {.bytes = static_cast<std::uint64_t>((answers + 2 * slice.count) *
                                                   step.model.hidden) *
                        sizeof(float),
               .ops = static_cast<std::uint64_t>(2 * answers * step.model.hidden)});
}

}  // namespace

After Combine(StepContext& step) {
  step.error = ForEachPeer(step, [&](int peer) { return Verify(step, peer); });
  if (!step.error.ok()) return After::kBroken;
  Gather(step);
  Add(step);
  if (++step.round < step.ask->rounds) return After::kAgain;
  step.round = 0;
  return After::kNext;
}

}  // namespace conclave
