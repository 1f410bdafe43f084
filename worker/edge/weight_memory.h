// Memory for weights and KV cache on huge pages where the kernel grants them: decoding reads all of
// it once per step, and with 4 KiB pages address translation would cost as much as the reading.
#pragma once

#include "worker/memory.h"

namespace conclave {

// Large spans are mappings of their own on a 2 MiB boundary, advised to be huge; small ones come
// from the heap. Zeroed. Thread-safe.
class HugePageMemory final : public Memory {
 public:
  static constexpr std::size_t kHugePage = std::size_t{2} << 20;
  static constexpr std::size_t kMappedFrom = std::size_t{1} << 20;  // bytes

  absl::StatusOr<std::span<std::byte>> Take(std::size_t bytes) override;
  void Give(std::span<std::byte> bytes) override;
  std::uint64_t Left() const override;
};

}  // namespace conclave
