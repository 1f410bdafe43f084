// Where large memory comes from. The edge gives huge pages; tests and the simulator give the heap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>

#include "absl/status/statusor.h"

namespace conclave {

// Take: `bytes` zeroed bytes (0 is allowed) on a 64-byte boundary, or ResourceExhausted. Every span
// taken is given back whole. Thread-safe if the shard is loaded while steps run; else one caller at
// a time is enough.
class Memory {
 public:
  virtual ~Memory() = default;
  virtual absl::StatusOr<std::span<std::byte>> Take(std::size_t bytes) = 0;
  virtual void Give(std::span<std::byte> bytes) = 0;
  // These bytes of a span that was taken will be written soon: the first touch of a page can take
  // milliseconds, better spent beside a step than in it. Waits for nothing; changes no byte.
  virtual void Expect(std::span<std::byte> bytes) { static_cast<void>(bytes); }
  // One step towards keeping `spans` spans of `bytes` ready, all their pages found, for Takes of
  // just so many bytes. Takes milliseconds, on the caller's thread. False: there is nothing more to
  // do, or nothing that can be done now. Any thread, one caller at a time.
  virtual bool Stock(std::size_t bytes, std::size_t spans) {
    static_cast<void>(bytes);
    static_cast<void>(spans);
    return false;
  }
  // What Take could give now and nobody would miss: memory may be promised first and only found
  // wanting when it is written to, which ends the process. A guess; any thread.
  virtual std::uint64_t Left() const { return std::numeric_limits<std::uint64_t>::max(); }
};

// The heap. Pages that nobody touches cost nothing.
class HeapMemory final : public Memory {
 public:
  absl::StatusOr<std::span<std::byte>> Take(std::size_t bytes) override;
  void Give(std::span<std::byte> bytes) override;
};
HeapMemory& SharedHeap();  // has no state

// One span taken, given back at the end.
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

// Makes the kernel find all pages of bytes that are zero still.
void Touch(std::span<std::byte> zeroed);

}  // namespace conclave
