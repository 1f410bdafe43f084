// Where the frames of one exchange are put: a fixed arena, handed out in order of arrival.
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "base/limits.h"
#include "exchange/exchange.h"

namespace conclave {

class FrameArena final : public FrameSink {
 public:
  FrameArena() = default;
  explicit FrameArena(std::span<std::byte> room) : room_(room) {}  // 64-byte aligned

  void Clear();  // frames handed out before are no longer valid
  // Empty when the arena is full, the slot is none, or it has sent already.
  std::span<std::byte> Reserve(Slot from, std::size_t bytes) override;
  // Empty when nothing came from this slot.
  std::span<std::byte> From(Slot slot) const {
    return frames_[static_cast<std::size_t>(slot.value)];
  }
  std::size_t bytes() const { return used_; }

 private:
  std::span<std::byte> room_;
  std::size_t used_ = 0;
  std::array<std::span<std::byte>, kSlotsMax> frames_{};
};

}  // namespace conclave
