#include "worker/frame_arena.h"

namespace conclave {

void FrameArena::Clear() {
  used_ = 0;
  frames_.fill({});
}

std::span<std::byte> FrameArena::Reserve(Slot from, std::size_t bytes) {
  constexpr std::size_t kAlign = 64;
  if (from.value < 0 || from.value >= kSlotsMax || !From(from).empty()) return {};
  if (bytes > room_.size() - used_) return {};
  const std::span<std::byte> frame = room_.subspan(used_, bytes);
  const std::size_t next = used_ + (bytes + kAlign - 1) / kAlign * kAlign;
  used_ = next < room_.size() ? next : room_.size();
  frames_[static_cast<std::size_t>(from.value)] = frame;
  return frame;
}

}  // namespace conclave
