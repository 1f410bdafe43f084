// Memory for weights and KV cache on huge pages where the kernel grants them: decoding reads all of
// it once per step, and with 4 KiB pages address translation would cost as much as the reading.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "worker/memory.h"

namespace conclave {

// A large span is a mapping of its own on a 2 MiB boundary, for which huge pages are advised; small
// spans come from the heap. All are zeroed. Thread-safe. One thread, started at the first use,
// prefaults what was announced. The reserve has large spans of one size only, and leaves at least
// kLeftMin bytes of the machine's memory free.
class HugePageMemory final : public Memory {
 public:
  static constexpr std::size_t kHugePage = std::size_t{2} << 20;
  static constexpr std::size_t kMappedFrom = std::size_t{1} << 20;  // bytes
  static constexpr std::uint64_t kLeftMin = std::uint64_t{1} << 30;

  HugePageMemory() = default;
  ~HugePageMemory() override;
  absl::StatusOr<std::span<std::byte>> Take(std::size_t bytes) override;
  void Give(std::span<std::byte> bytes) override;
  void Expect(std::span<std::byte> bytes) override;
  bool Stock(std::size_t bytes, std::size_t spans) override;
  std::uint64_t Left() const override;

 private:
  void Run();
  void Forget(std::span<std::byte> bytes);  // and waits until nothing there is under way

  mutable std::mutex mutex_;
  std::condition_variable wake_, idle_;
  std::deque<std::span<std::byte>> expected_;
  std::span<std::byte> under_way_;  // a page's worth of them
  std::size_t stock_bytes_ = 0;  // of each in stock
  std::vector<std::span<std::byte>> stock_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace conclave
