// The worker's edge, piece by piece: threads, memory, KV budget.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "kernels/kernel_set.h"
#include "worker/edge/kv_budget.h"
#include "worker/edge/machine.h"
#include "worker/edge/thread_pool.h"
#include "worker/edge/threads.h"
#include "worker/edge/weight_memory.h"

namespace conclave {
namespace {

TEST(ThreadPool, EveryLaneSeesTheWorkAndItsResultsAreSeen) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool({.threads = threads, .first_cpu_pinned = {}});
    EXPECT_EQ(pool.count(), threads);
    std::vector<std::int64_t> sums(static_cast<std::size_t>(threads));
    for (std::int64_t round = 0; round < 2000; ++round) {
      pool.Run([&](const Lane& lane) {
        EXPECT_EQ(lane.count, threads);
        sums[static_cast<std::size_t>(lane.index)] += round;
      });
    }
    for (const std::int64_t sum : sums) EXPECT_EQ(sum, 2000 * 1999 / 2) << threads;
  }
}

TEST(ThreadPool, TicketsAreTakenOnceAndStartAtZero) {
  ThreadPool pool({.threads = 3, .first_cpu_pinned = {}});
  for (int round = 0; round < 200; ++round) {
    std::vector<int> taken(100);
    pool.Run([&](const Lane& lane) {
      for (std::int64_t i = lane.Take(); i < 100; i = lane.Take()) {
        ++taken[static_cast<std::size_t>(i)];
      }
    });
    EXPECT_EQ(std::count(taken.begin(), taken.end(), 1), 100);
  }
}

TEST(HugePageMemory, IsZeroedAlignedAndGivenBack) {
  HugePageMemory memory;
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{100}, HugePageMemory::kMappedFrom - 1,
                                  HugePageMemory::kMappedFrom, std::size_t{5'000'001}}) {
    auto span = memory.Take(bytes);
    ASSERT_TRUE(span.ok()) << span.status();
    EXPECT_EQ(span->size(), bytes);
    const auto address = reinterpret_cast<std::uintptr_t>(span->data());
    if (bytes > 0) {
      EXPECT_EQ(address % 64, 0u);
    }
    if (bytes >= HugePageMemory::kMappedFrom) {
      EXPECT_EQ(address % HugePageMemory::kHugePage, 0u);
    }
    EXPECT_TRUE(
        std::all_of(span->begin(), span->end(), [](std::byte b) { return b == std::byte{0}; }));
    std::fill(span->begin(), span->end(), std::byte{1});
    memory.Give(*span);
  }
  EXPECT_FALSE(memory.Take(std::size_t{1} << 60).ok());
}

TEST(PlanKv, KeepsItsPromises) {
  ModelConfig model;
  model.kv_heads = 2;
  model.head_dim = 64;
  model.context = 4096;
  model.layers.resize(4);
  const auto plan = [&model](std::optional<std::uint64_t> bytes, std::uint64_t available) {
    return PlanKv({.model = model,
                   .kernels = kRefKernels,
                   .dtype = DType::kBf16,
                   .bytes = bytes,
                   .available_bytes = available});
  };
  const std::uint64_t block = kRefKernels.kv_block_bytes({2, 64, DType::kBf16}) * 4;
  EXPECT_EQ(plan(block * 10 + 5, 0).blocks, 10);
  EXPECT_EQ(plan(1, 0).blocks, 2);  // never none
  EXPECT_EQ(plan({}, std::uint64_t{1} << 40).bytes / block, (std::uint64_t{4} << 30) / block);
  EXPECT_EQ(plan({}, block * 4000).blocks, 1000);  // a quarter
  EXPECT_EQ(plan({}, block * 300).blocks, 129);    // one context, within half
  EXPECT_EQ(plan({}, block * 200).blocks, 50);     // one context would be too much
}

TEST(Machine, KnowsItself) {
  EXPECT_GE(CoresHere(), 1);
  EXPECT_GT(ResidentBytes(), 0u);
  EXPECT_GT(AvailableMemoryBytes(), ResidentBytes() / 1000);
  const std::string uuid = NewUuid();
  EXPECT_EQ(uuid.size(), 36u);
  EXPECT_EQ(uuid[14], '4');
  EXPECT_NE(uuid, NewUuid());
  EXPECT_GT(HugePageMemory().Left(), 0u);
  EXPECT_LE(HugePageMemory().Left(), std::uint64_t{1} << 50) << "it looks";
}

// Whether the kernel has found every page of it.
bool Resident(std::span<std::byte> bytes) {
  std::vector<unsigned char> pages(bytes.size() / 4096);
  EXPECT_EQ(mincore(bytes.data(), bytes.size(), pages.data()), 0);
  return std::ranges::all_of(pages, [](unsigned char page) { return (page & 1) != 0; });
}

TEST(HugePageMemory, WhatIsExpectedIsThereBeforeItIsTouched) {
  HugePageMemory memory;
  auto span = memory.Take(5 * HugePageMemory::kHugePage);
  ASSERT_TRUE(span.ok());
  EXPECT_FALSE(Resident(*span));
  const std::span<std::byte> first = span->first(3 * HugePageMemory::kHugePage);
  first[7] = std::byte{9};
  memory.Expect(first);
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!Resident(first) && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  EXPECT_TRUE(Resident(first));
  EXPECT_EQ(first[7], std::byte{9});
  EXPECT_EQ(first[8], std::byte{0});
  EXPECT_FALSE(Resident(span->last(HugePageMemory::kHugePage)));
  // What is given back while it is expected is forgotten.
  for (int i = 0; i < 8; ++i) memory.Expect(*span);
  memory.Give(*span);
}

TEST(HugePageMemory, WhatIsInStockIsThereBeforeItIsTouched) {
  constexpr std::size_t kBytes = 2 * HugePageMemory::kHugePage + 4096;
  HugePageMemory memory;
  EXPECT_FALSE(memory.Stock(HugePageMemory::kMappedFrom - 1, 1)) << "that is the heap's";
  EXPECT_TRUE(memory.Stock(kBytes, 2));
  EXPECT_TRUE(memory.Stock(kBytes, 2));
  EXPECT_FALSE(memory.Stock(kBytes, 2));
  const auto other = memory.Take(kBytes + 1);
  const auto first = memory.Take(kBytes);
  ASSERT_TRUE(other.ok() && first.ok());
  EXPECT_FALSE(Resident(other->first(kBytes - 4096)));
  EXPECT_TRUE(Resident(*first));
  EXPECT_TRUE(std::ranges::all_of(*first, [](std::byte b) { return b == std::byte{0}; }));
  // One is left: it goes when fewer are wanted, or others.
  EXPECT_TRUE(memory.Stock(2 * kBytes, 1));
  EXPECT_TRUE(memory.Stock(2 * kBytes, 1));
  EXPECT_FALSE(memory.Stock(2 * kBytes, 1));
  EXPECT_TRUE(memory.Stock(2 * kBytes, 0));
  EXPECT_FALSE(memory.Stock(2 * kBytes, 0));
  const auto fresh = memory.Take(2 * kBytes);
  ASSERT_TRUE(fresh.ok());
  EXPECT_FALSE(Resident(*fresh));
  for (const auto& span : {*other, *first, *fresh}) memory.Give(span);
  EXPECT_TRUE(memory.Stock(kBytes, 1)) << "what is in stock at the end goes with it";
}

TEST(Machine, AControlGroupsLimitCounts) {
  const std::string folder = testing::TempDir() + "group";
  std::filesystem::create_directories(folder);
  const auto write = [&folder](const char* name, const char* text) {
    std::ofstream(folder + "/" + name) << text;
  };
  EXPECT_EQ(MemoryLeftInGroup(folder + "/none"), std::numeric_limits<std::uint64_t>::max());
  write("memory.max", "max\n");
  write("memory.current", "700\n");
  write("memory.stat", "anon 400\ninactive_file 200\nactive_file 100\n");
  EXPECT_EQ(MemoryLeftInGroup(folder), std::numeric_limits<std::uint64_t>::max());
  write("memory.max", "1000\n");
  EXPECT_EQ(MemoryLeftInGroup(folder), 600u);
  write("memory.max", "300\n");
  EXPECT_EQ(MemoryLeftInGroup(folder), 0u);
}

// By these names a wedged thread can be told from a busy one, and tests find whom to stop.
TEST(Threads, HaveNamesAndThePackerGivesWay) {
  const int usual = getpriority(PRIO_PROCESS, 0);
  std::thread([usual] {
    NameThisThread("a-name-that-is-too-long");
    std::string name;
    std::getline(std::ifstream("/proc/thread-self/comm"), name);
    EXPECT_EQ(name, "a-name-that-is-");
    LowerThisThread();
    EXPECT_GT(getpriority(PRIO_PROCESS, 0), usual);
  }).join();
  EXPECT_EQ(getpriority(PRIO_PROCESS, 0), usual) << "of that thread alone";
}

}  // namespace
}  // namespace conclave
