// Where large memory comes from: huge pages in a real worker, the heap in tests and the simulator.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>

#include "absl/status/statusor.h"

namespace conclave {

// Take returns `bytes` zeroed bytes (0 is allowed) on a 64-byte boundary, or ResourceExhausted. The
// caller gives every span back whole. An implementation is thread-safe if its shard is loaded while
// steps run; otherwise one caller at a time is enough.
class Memory {
 public:
  virtual ~Memory() = default;
  virtual absl::StatusOr<std::span<std::byte>> Take(std::size_t bytes) = 0;
  virtual void Give(std::span<std::byte> bytes) = 0;
  // Announces that these bytes of a span will be written soon, so that their pages are faulted in
  // before a step needs them: a page's first touch can take milliseconds. Does not wait; changes no
  // byte.
  virtual void Expect(std::span<std::byte> bytes) { static_cast<void>(bytes); }
  // Prefaults one more allocation towards a reserve of `spans` spans of `bytes`, which Takes of
  // exactly that size will use. Takes milliseconds on the caller's thread. False when the reserve is
  // full or cannot grow now. Any thread, one caller at a time.
  virtual bool Stock(std::size_t bytes, std::size_t spans) {
    static_cast<void>(bytes);
    static_cast<void>(spans);
    return false;
  }
  // Bytes that can be allocated without risking the OOM killer: an overcommitting kernel grants more
  // and ends the process when the memory is written to. An estimate. Any thread.
  virtual std::uint64_t Left() const { return std::numeric_limits<std::uint64_t>::max(); }
};

// The heap. Pages that nobody touches cost nothing.
class HeapMemory final : public Memory {
 public:
  absl::StatusOr<std::span<std::byte>> Take(std::size_t bytes) override;
  void Give(std::span<std::byte> bytes) override;
};
HeapMemory& SharedHeap();  // has no state

// Owns one span: takes it, and gives it back when destroyed.
class MemoryBlock {
 public:
  MemoryBlock() = default;
  MemoryBlock(Memory& memory, std::span<std::byte> bytes) : memory_(&memory), bytes_(bytes) {}
  MemoryBlock(MemoryBlock&& other) noexcept
      : memory_(std::exchange(other.memory_, nullptr)), bytes_(std::exchange(other.bytes_, {})) {}
  MemoryBlock& operator=(MemoryBlock&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~MemoryBlock() {
    if (memory_ != nullptr) memory_->Give(bytes_);
  }

  static absl::StatusOr<MemoryBlock> From(Memory& memory, std::size_t bytes);
  std::byte* data() const { return bytes_.data(); }
  std::size_t size() const { return bytes_.size(); }
  bool held() const { return memory_ != nullptr; }

 private:
  Memory* memory_ = nullptr;
  std::span<std::byte> bytes_;
};

// Faults in all pages of a span, which must still be zero.
void Touch(std::span<std::byte> zeroed);

}  // namespace conclave
