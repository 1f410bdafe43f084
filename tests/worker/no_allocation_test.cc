// A warm step takes no memory but what its result carries.
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>

#include "model/edge/checkpoint.h"
#include "tests/support/golden.h"
#include "tests/worker/test_worker.h"

namespace {
thread_local bool counting = false;
thread_local int allocations = 0;

void* Take(std::size_t bytes, std::size_t alignment) {
  if (counting) ++allocations;
  void* memory = std::aligned_alloc(alignment, (bytes + alignment) / alignment * alignment);
  if (memory == nullptr) std::abort();
  return memory;
}
}  // namespace

void* operator new(std::size_t bytes) { return Take(bytes, 16); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return Take(bytes, 16); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return Take(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace conclave {
namespace {

constexpr int kSequences = 6;  // on each home
constexpr int kPrompt = 34;    // then 30 tokens fit the second block

// Opens sequences with a prompt each and samples in every way.
std::vector<WorkerPart> Opening(const TestCluster& cluster) {
  std::vector<WorkerPart> parts = cluster.EmptyParts();
  for (const int home : cluster.homes()) {
    WorkerPart& part = parts[static_cast<std::size_t>(home)];
    for (int i = 0; i < kSequences; ++i) {
      const SeqId seq{static_cast<std::uint64_t>(home * 100 + i)};
      SequenceOpen open{.seq = seq, .prompt_tokens = kPrompt, .tokens = {}, .blocks = {}};
      for (int t = 0; t < kPrompt; ++t) open.tokens.push_back((t * 13 + i) % 500);
      open.sampling = {.temperature = i % 2 == 0 ? 0.0 : 0.9,
                       .top_k = i % 3 == 0 ? 50 : 0,
                       .top_p = i % 3 == 1 ? 0.9 : 1.0,
                       .frequency_penalty = i == 4 ? 0.5 : 0.0};
      part.opens.push_back(open);
      part.chunks.push_back({.seq = seq,
                             .begin = 0,
                             .count = kPrompt,
                             .sample = true,
                             .new_blocks = {BlockId{2 * i}, BlockId{2 * i + 1}}});
    }
  }
  return parts;
}

std::vector<WorkerPart> Decoding(const TestCluster& cluster, int position) {
  std::vector<WorkerPart> parts = cluster.EmptyParts();
  for (const int home : cluster.homes()) {
    for (int i = 0; i < kSequences; ++i) {
      parts[static_cast<std::size_t>(home)].chunks.push_back(
          {.seq = SeqId{static_cast<std::uint64_t>(home * 100 + i)},
           .begin = position,
           .count = 1,
           .sample = true,
           .new_blocks = {}});
    }
  }
  return parts;
}

void ExpectNoAllocation(int workers, int expert_workers, int lanes, int rounds = 1) {
  const auto checkpoint =
      OpenCheckpoint(RepositoryPath("tests/data/oracles/qwen3moe_mixed_tied_60e"));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  TestCluster cluster(checkpoint->config, *checkpoint->tensors,
                      {.workers = workers,
                       .expert_workers = expert_workers,
                       .lanes = lanes,
                       .rounds = rounds});
  ASSERT_TRUE(cluster.Run(Opening(cluster)).ok());
  allocations = 0;
  cluster.around_handle = [](bool entering) { counting = entering; };
  for (int position = kPrompt; position < kPrompt + 14; ++position) {
    if (position == kPrompt + 4) allocations = 0;  // warm from here
    ASSERT_TRUE(cluster.Run(Decoding(cluster, position)).ok());
  }
  // Ten steps, none of which carries expert loads. Each result carries its list of phases, and at
  // a home its list of sampled tokens.
  EXPECT_LE(cluster.next_step().value, 16u);
  EXPECT_EQ(allocations, 10 * (2 * workers + expert_workers));
}

TEST(RunStep, DoesNotAllocateAlone) { ExpectNoAllocation(1, 0, 2); }
TEST(RunStep, DoesNotAllocateAmongOthers) { ExpectNoAllocation(2, 1, 1); }
TEST(RunStep, DoesNotAllocateInRounds) { ExpectNoAllocation(2, 1, 1, 4); }

}  // namespace
}  // namespace conclave
