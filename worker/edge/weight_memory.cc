#include "worker/edge/weight_memory.h"

#include <sys/mman.h>

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "worker/edge/machine.h"

namespace conclave {
namespace {

constexpr std::size_t kPage = 4096;

std::size_t Pages(std::size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

}  // namespace

absl::StatusOr<std::span<std::byte>> HugePageMemory::Take(std::size_t bytes) {
  if (bytes < kMappedFrom) return SharedHeap().Take(bytes);
  const std::size_t length = Pages(bytes);
  const std::size_t reserved = length + kHugePage;
  void* const raw = mmap(nullptr, reserved, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) {
    return absl::ResourceExhaustedError(absl::StrCat("no memory for ", bytes, " bytes"));
  }
  // Keep the part that starts on a huge page's boundary, return the rest.
  const auto start = reinterpret_cast<std::uintptr_t>(raw);
  const std::uintptr_t aligned = (start + kHugePage - 1) / kHugePage * kHugePage;
  auto* const data = static_cast<std::byte*>(raw) + (aligned - start);
  if (aligned > start) munmap(raw, aligned - start);
  const std::size_t tail = reserved - (aligned - start) - length;
  if (tail > 0) munmap(data + length, tail);
  madvise(data, length, MADV_HUGEPAGE);  // advice: without it only speed is lost
  return std::span<std::byte>(data, bytes);
}

// Take promises without looking: this is where wanting too much is found out in time.
std::uint64_t HugePageMemory::Left() const {
  const std::uint64_t available = AvailableMemoryBytes();
  return available > 0 ? available : Memory::Left();
}

void HugePageMemory::Give(std::span<std::byte> bytes) {
  if (bytes.size() < kMappedFrom) return SharedHeap().Give(bytes);
  CONCLAVE_CHECK(munmap(bytes.data(), Pages(bytes.size())) == 0, "not memory of ours");
}

}  // namespace conclave
