// Memory for weights and KV cache on huge pages where the kernel grants them: decoding reads all of
// it once per step, and with 4 KiB pages address translation would cost as much as the reading.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <span>
#include <thread>

#include "worker/memory.h"

namespace conclave {

// Large spans are mappings of their own on a 2 MiB boundary, advised to be huge; small ones come
// from the heap. Zeroed. Thread-safe. What is expected is made ready by a thread of its own, which
// begins with the first such wish.
class HugePageMemory final : public Memory {
 public:
  static constexpr std::size_t kHugePage = std::size_t{2} << 20;
  static constexpr std::size_t kMappedFrom = std::size_t{1} << 20;  // bytes

  HugePageMemory() = default;
  ~HugePageMemory() override;
  absl::StatusOr<std::span<std::byte>> Take(std::size_t bytes) override;
  void Give(std::span<std::byte> bytes) override;
  void Expect(std::span<std::byte> bytes) override;
  std::uint64_t Left() const override;

 private:
  void Run();
  void Forget(std::span<std::byte> bytes);  // and waits until nothing there is under way

  std::mutex mutex_;
  std::condition_variable wake_, idle_;
  std::deque<std::span<std::byte>> expected_;
  std::span<std::byte> under_way_;  // a page's worth of them
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace conclave
