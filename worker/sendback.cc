#include <cstring>

#include "worker/step.h"

namespace conclave {
namespace {

void Seal(const StepContext& step, int peer, std::span<std::byte> bytes) {
  const std::span<std::byte> arrived = step.ws.dispatch_in.From(step.epoch->slot(peer));
  const std::uint32_t slots = reinterpret_cast<const FrameHeader*>(arrived.data())->slots;
  const SendBackFrame frame = BindSendBack(step.frame_shape, bytes, slots);
  step.Address(Direction::kSendBack, peer, *frame.header);
  frame.header->slots = slots;
  // What an earlier frame left between answers must not travel.
  const std::int64_t used = std::int64_t{step.model.hidden} * 4;
  const std::int64_t gap = step.frame_shape.answer_bytes - used;
  for (std::uint32_t i = 0; gap > 0 && i < slots; ++i) {
    std::memset(frame.answers + i * step.frame_shape.answer_bytes + used, 0,
                static_cast<std::size_t>(gap));
  }
  SealFrame(bytes);
}

}  // namespace

After SendBack(StepContext& step) {
  if (step.alone()) return After::kNext;  // answers lie where combine reads
  Workspace& ws = step.ws;
  // The answers are in their frames already; what is missing is who they are for.
  (void)ForEachPeer(step, [&](int peer) {
    Seal(step, peer, ws.frames[static_cast<std::size_t>(peer)]);
    return absl::OkStatus();
  });
  step.AskExchange(ws.sendback_in);
  return After::kExchange;
}

}  // namespace conclave
