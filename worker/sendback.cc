#include <cstring>

#include "worker/step.h"

namespace conclave {

After SendBack(StepContext& step) {
  if (step.alone()) return After::kNext;  // answers lie where combine reads
  Workspace& ws = step.ws;
  // The answers are in their frames already; what is missing is who they are for.
  step.lanes.Run([&](const Lane& lane) {
    for (std::int64_t peer = lane.Take(); peer < step.epoch->peers(); peer = lane.Take()) {
      if (peer == step.epoch->self()) continue;
      const Slot slot = step.epoch->slot(static_cast<int>(peer));
      const auto* asked = reinterpret_cast<const FrameHeader*>(ws.dispatch_in.From(slot).data());
      const std::span<std::byte> bytes = ws.frames[static_cast<std::size_t>(peer)];
      const SendBackFrame frame = BindSendBack(step.frame_shape, bytes, asked->slots);
      step.Address(Direction::kSendBack, static_cast<int>(peer), *frame.header);
      frame.header->slots = asked->slots;
      const std::int64_t used = std::int64_t{step.model.hidden} * 4;
      const std::int64_t gap = step.frame_shape.answer_bytes - used;
      for (std::uint32_t i = 0; gap > 0 && i < asked->slots; ++i) {
        std::memset(frame.answers + i * step.frame_shape.answer_bytes + used, 0,
                    static_cast<std::size_t>(gap));
      }
      SealFrame(bytes);
    }
  });
  step.AskExchange(ws.sendback_in);
  return After::kExchange;
}

}  // namespace conclave
