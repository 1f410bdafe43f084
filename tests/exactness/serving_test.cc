// The same bits whatever the coordinator does with a request: batches, chunks, prefix cache,
// preemption, plans ahead.
//
// Tried: each of these was built in on purpose, one at a time, and the golden made with it, too.
//   avx512 combine sums in the order in which answers lie in memory (so: by owner)
//       caught by every test on fast kernels with two or more workers, here and in workers_test
//   avx512 linear splits its sum over K when there is one row
//       by all tests here and in workers_test but those on reference kernels only
//   avx512 linear splits its sum over K when there are several lanes
//       by Workers.OfTwoThreads alone
//   attention uses K and V before they are rounded to what the cache keeps (reference kernels, a
//   float32 cache whose rows are rounded after the step that wrote them)
//       by every test on reference kernels: batches, chunks, prefix cache, preemption, workers
//   sampler seeded by the sequence's number (so: by arrival)
//       by every test but Golden.StreamsSaySomething
//   penalties after a preemption take what was emitted for prompt
//       by Preemption alone
//   router breaks ties towards the higher expert in every other row
//       by ReferenceKernels, OfTwoThreads, batches, chunks of 7, prefix cache and preemption, on
//       reference kernels: one tie is among the golden's rows there, none with fast kernels; that
//       rule's own test is the kernels' conformance
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/exactness/golden_stream.h"

namespace conclave {
namespace {

constexpr KernelChoice kSets[] = {KernelChoice::kAuto, KernelChoice::kRef};

TEST(Serving, BatchesWithRandomArrivals) {
  Cluster cluster(PlainOptions(KernelChoice::kAuto));
  for (const std::size_t size : {2u, 3u, 9u, 33u, 64u}) {
    SCOPED_TRACE(size);
    ExpectGolden(KernelChoice::kAuto, AskTogether(cluster.client(), ManyRequests(size), 40 + size));
  }
}

TEST(Serving, BatchesOnReferenceKernels) {
  Cluster cluster(PlainOptions(KernelChoice::kRef));
  ExpectGolden(KernelChoice::kRef, AskTogether(cluster.client(), ManyRequests(24), 5));
}

// A worker that takes two rows of its own in a step queues most of the work most of the time.
TEST(Serving, BatchesInSmallSteps) {
  ClusterOptions options = PlainOptions(KernelChoice::kAuto);
  options.workers = 2;
  options.core.first_rows = 24;
  options.core.worker_rows_max = 13;
  options.core.plans_ahead = 2;
  Cluster cluster(options);
  ExpectGolden(options.kernels, AskTogether(cluster.client(), ManyRequests(24), 6));
}

class ChunkTest : public testing::TestWithParam<int> {};
TEST_P(ChunkTest, OfPrompts) {
  for (const KernelChoice kernels : kSets) {
    if (kernels == KernelChoice::kRef && GetParam() == 1) continue;  // minutes; 7 says the same
    ClusterOptions options = PlainOptions(kernels);
    options.core.chunk_tokens = GetParam();
    Cluster cluster(options);
    ExpectGolden(kernels, AskTogether(cluster.client(), GoldenRequests(), 7));
    // One position of the 400 after another takes 400 steps and no fewer.
    EXPECT_GE(cluster.Metric("conclave_steps_total"), 400.0 / GetParam());
  }
}
INSTANTIATE_TEST_SUITE_P(Sizes, ChunkTest, testing::Values(1, 7, 64));

TEST(Serving, PlansAhead) {
  for (const int ahead : {1, 2}) {
    SCOPED_TRACE(ahead);
    ClusterOptions options = PlainOptions(KernelChoice::kAuto);
    options.workers = 2;
    options.core.plans_ahead = ahead;
    Cluster cluster(options);
    ExpectGolden(options.kernels, AskInTurn(cluster.client(), GoldenRequests()));
    ExpectGolden(options.kernels, AskTogether(cluster.client(), GoldenRequests(), 8));
  }
}

TEST(Serving, PrefixCacheColdAndWarm) {
  for (const KernelChoice kernels : kSets) {
    ClusterOptions options = PlainOptions(kernels);
    options.core.prefix_cache = true;
    options.core.plans_ahead = 2;
    Cluster cluster(options);
    const std::vector<Answer> cold = AskInTurn(cluster.client(), GoldenRequests());
    ExpectGolden(kernels, cold);
    EXPECT_EQ(cold.front().cached_prompt_tokens, 0);
    EXPECT_EQ(cold[8].cached_prompt_tokens, 0);
    EXPECT_EQ(cold[11].cached_prompt_tokens, 288);  // 300 tokens began alike: nine whole blocks

    const std::vector<Answer> warm = AskInTurn(cluster.client(), GoldenRequests());
    ExpectGolden(kernels, warm);
    EXPECT_EQ(warm[0].cached_prompt_tokens, 0);    // one token is no block
    EXPECT_EQ(warm[5].cached_prompt_tokens, 0);    // every position is reported, so every one runs
    EXPECT_EQ(warm[6].cached_prompt_tokens, 128);  // of 129
    EXPECT_EQ(warm[11].cached_prompt_tokens, 384);
    ExpectGolden(kernels, AskTogether(cluster.client(), GoldenRequests(), 9));
  }
}

// The longest request needs 14 blocks; a dozen others want theirs at the same time.
TEST(Serving, Preemption) {
  for (const KernelChoice kernels : kSets) {
    for (const bool cache : {false, true}) {
      ClusterOptions options = PlainOptions(kernels);
      options.kv_blocks = 17;
      options.core.prefix_cache = cache;
      options.core.plans_ahead = cache ? 2 : 1;
      Cluster cluster(options);
      ExpectGolden(kernels, AskTogether(cluster.client(), ManyRequests(36), 10));
      EXPECT_GT(cluster.Metric("conclave_num_preemptions_total"), 0);
    }
  }
}

TEST(Serving, PreemptionOnThreeWorkers) {
  ClusterOptions options = PlainOptions(KernelChoice::kAuto);
  options.workers = 3;
  options.kv_blocks = 15;
  options.core = {};
  Cluster cluster(options);
  ExpectGolden(options.kernels, AskTogether(cluster.client(), ManyRequests(64), 11));
  EXPECT_GT(cluster.Metric("conclave_num_preemptions_total"), 0);
}

}  // namespace
}  // namespace conclave
