#include "worker/memory.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace conclave {
namespace {

constexpr std::size_t kAlignment = 64;

}  // namespace

absl::StatusOr<std::span<std::byte>> HeapMemory::Take(std::size_t bytes) {
  // calloc and not aligned_alloc: large zeroed memory then comes from the system untouched. Room
  // before the span remembers where it began.
  auto* raw = static_cast<std::byte*>(std::calloc(1, bytes + kAlignment + sizeof(void*)));
  if (raw == nullptr) {
    return absl::ResourceExhaustedError(absl::StrCat("no memory for ", bytes, " bytes"));
  }
  const auto first = reinterpret_cast<std::uintptr_t>(raw) + sizeof(void*);
  const std::uintptr_t aligned = (first + kAlignment - 1) / kAlignment * kAlignment;
  auto* data = reinterpret_cast<std::byte*>(aligned);
  std::memcpy(data - sizeof(void*), &raw, sizeof raw);
  return std::span<std::byte>(data, bytes);
}

void HeapMemory::Give(std::span<std::byte> bytes) {
  void* raw = nullptr;
  std::memcpy(&raw, bytes.data() - sizeof(void*), sizeof raw);
  std::free(raw);
}

HeapMemory& SharedHeap() {
  static HeapMemory heap;
  return heap;
}

void Touch(std::span<std::byte> zeroed) {
  constexpr std::size_t kPage = 4096;
  volatile std::byte* const data = zeroed.data();
  for (std::size_t at = 0; at < zeroed.size(); at += kPage) data[at] = std::byte{0};
}

absl::StatusOr<MemoryBlock> MemoryBlock::From(Memory& memory, std::size_t bytes) {
  ASSIGN_OR_RETURN(const std::span<std::byte> span, memory.Take(bytes));
  return MemoryBlock(memory, span);
}

}  // namespace conclave
