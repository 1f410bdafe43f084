#include "worker/edge/weight_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <deque>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "worker/edge/machine.h"
#include "worker/edge/threads.h"

namespace conclave {
namespace {

constexpr std::size_t kPage = 4096;

bool Overlap(std::span<std::byte> a, std::span<std::byte> b) {
  return a.data() < b.data() + b.size() && b.data() < a.data() + a.size();
}

// Whole pages only: they are the kernel's unit. Failing costs time later, nothing else.
void Populate(std::span<std::byte> bytes) {
#ifdef MADV_POPULATE_WRITE
  const auto start = reinterpret_cast<std::uintptr_t>(bytes.data());
  const std::uintptr_t first = (start + kPage - 1) / kPage * kPage;
  const std::uintptr_t end = (start + bytes.size()) / kPage * kPage;
  if (end > first) madvise(reinterpret_cast<void*>(first), end - first, MADV_POPULATE_WRITE);
#else
  static_cast<void>(bytes);
#endif
}

std::size_t Pages(std::size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

void Unmap(std::span<std::byte> bytes) {
  CONCLAVE_CHECK(munmap(bytes.data(), Pages(bytes.size())) == 0, "not memory of ours");
}

absl::StatusOr<std::span<std::byte>> Map(std::size_t bytes) {
  constexpr std::size_t kHugePage = HugePageMemory::kHugePage;
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

}  // namespace

absl::StatusOr<std::span<std::byte>> HugePageMemory::Take(std::size_t bytes) {
  if (bytes < kMappedFrom) return SharedHeap().Take(bytes);
  {
    const std::lock_guard lock(mutex_);
    if (bytes == stock_bytes_ && !stock_.empty()) {
      const std::span<std::byte> ready = stock_.back();
      stock_.pop_back();
      return ready;
    }
  }
  return Map(bytes);
}

bool HugePageMemory::Stock(std::size_t bytes, std::size_t spans) {
  if (bytes < kMappedFrom) return false;
  std::span<std::byte> span;
  {
    const std::lock_guard lock(mutex_);
    if (stock_.empty()) stock_bytes_ = bytes;
    if (stock_bytes_ == bytes && stock_.size() == spans) return false;
    if (stock_bytes_ != bytes || stock_.size() > spans) {
      span = stock_.back();
      stock_.pop_back();
    }
  }
  if (!span.empty()) {
    Unmap(span);
    return true;
  }
  if (AvailableMemoryBytes() < kLeftMin + bytes) return false;
  absl::StatusOr<std::span<std::byte>> made = Map(bytes);
  if (!made.ok()) return false;
  // Page by page: the kernel's memory lock is held for as long as one call takes.
  for (std::size_t at = 0; at < bytes; at += kHugePage) {
    Populate(made->subspan(at, std::min(kHugePage, bytes - at)));
  }
  const std::lock_guard lock(mutex_);
  stock_.push_back(*made);
  return true;
}

// Take promises without looking: this is where wanting too much is found out in time.
std::uint64_t HugePageMemory::Left() const {
  const std::uint64_t available = AvailableMemoryBytes();
  if (available == 0) return Memory::Left();
  const std::lock_guard lock(mutex_);
  return available + stock_bytes_ * stock_.size();
}

HugePageMemory::~HugePageMemory() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  for (const std::span<std::byte> span : stock_) Unmap(span);
}

void HugePageMemory::Expect(std::span<std::byte> bytes) {
  const std::lock_guard lock(mutex_);
  expected_.push_back(bytes);
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
  wake_.notify_all();
}

void HugePageMemory::Run() {
  NameThisThread("pages");
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !expected_.empty(); });
    if (stopping_) return;
    std::span<std::byte>& next = expected_.front();
    under_way_ = next.first(std::min(next.size(), kHugePage));
    next = next.subspan(under_way_.size());
    if (next.empty()) expected_.pop_front();
    lock.unlock();
    Populate(under_way_);
    lock.lock();
    under_way_ = {};
    idle_.notify_all();
  }
}

void HugePageMemory::Forget(std::span<std::byte> bytes) {
  std::unique_lock lock(mutex_);
  std::erase_if(expected_, [&](std::span<std::byte> wish) { return Overlap(wish, bytes); });
  idle_.wait(lock, [&] { return !Overlap(under_way_, bytes); });
}

void HugePageMemory::Give(std::span<std::byte> bytes) {
  Forget(bytes);
  if (bytes.size() < kMappedFrom) return SharedHeap().Give(bytes);
  Unmap(bytes);
}

}  // namespace conclave
