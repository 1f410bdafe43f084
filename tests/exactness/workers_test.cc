// The same bits on any number of workers, wherever each expert is placed, over any exchange.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/limits.h"
#include "exchange/backends.h"
#include "tests/exactness/golden_stream.h"

namespace conclave {
namespace {

// Half of the requests in turn, so that steps with a single row are among them, then all at once.
void ServeAndExpect(const ClusterOptions& options) {
  Cluster cluster(options);
  if (options.workers + options.expert_workers > 1) {
    EXPECT_EQ(cluster.exchange(), options.exchange);
  }
  const auto first = GoldenRequests().begin();
  ExpectGolden(options.kernels, AskInTurn(cluster.client(), {first, first + 3}));
  ExpectGolden(options.kernels, AskTogether(cluster.client(), GoldenRequests(),
                                            static_cast<std::uint64_t>(options.workers)));
  if (options.workers + options.expert_workers > 1) {
    // The last stream may have ended while a step that was planned ahead is still under way.
    const auto at_rest = [&] {
      return cluster.bytes_sent() == cluster.bytes_received() &&
             cluster.Metric("conclave_exchange_sent_bytes_total") ==
                 static_cast<double>(cluster.bytes_sent()) &&
             cluster.Metric("conclave_exchange_received_bytes_total") ==
                 static_cast<double>(cluster.bytes_received());
    };
    for (int i = 0; i < 500 && !at_rest(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    EXPECT_GT(cluster.bytes_sent(), 0u);
    EXPECT_EQ(cluster.bytes_sent(), cluster.bytes_received());
    EXPECT_EQ(cluster.Metric("conclave_exchange_sent_bytes_total"),
              static_cast<double>(cluster.bytes_sent()));
    EXPECT_EQ(cluster.Metric("conclave_exchange_received_bytes_total"),
              static_cast<double>(cluster.bytes_received()));
  }
}

TEST(Golden, StreamsSaySomething) {
  for (const KernelChoice kernels : {KernelChoice::kAuto, KernelChoice::kRef}) {
    const std::vector<Stream>& golden = GoldenStreams(kernels);
    ASSERT_EQ(golden.size(), 12u);
    EXPECT_EQ(golden.front().prompt_tokens, 1);
    EXPECT_EQ(golden.back().prompt_tokens, 400);
    EXPECT_EQ(golden[5].prompt_logprobs.size(), 63u);
    // Every fed position: the last token is not fed.
    EXPECT_EQ(golden[5].routed.size(), (64u + 12u - 1u) * 4u * 8u * 2u);
    EXPECT_NE(golden[2].ids, golden[3].ids);  // greedy and sampled
    EXPECT_TRUE(std::ranges::any_of(
        golden, [](const Stream& stream) { return stream.reason == v1::FINISH_REASON_STOP; }));
  }
}

class WorkersTest : public testing::TestWithParam<int> {};
TEST_P(WorkersTest, AnyNumber) {
  ClusterOptions options = PlainOptions(KernelChoice::kAuto);
  options.workers = GetParam();
  options.core = {};
  ServeAndExpect(options);
}
INSTANTIATE_TEST_SUITE_P(Local, WorkersTest, testing::Values(1, 2, 3, 4, 5, 7));

TEST(Workers, ReferenceKernels) {
  ClusterOptions options = PlainOptions(KernelChoice::kRef);
  options.workers = 3;
  options.core = {};
  ServeAndExpect(options);
}

TEST(Workers, OfRoleExpert) {
  for (const int homes : {1, 3}) {
    SCOPED_TRACE(homes);
    ClusterOptions options = PlainOptions(KernelChoice::kAuto);
    options.workers = homes;
    options.expert_workers = 2;
    options.core.plans_ahead = 2;
    ServeAndExpect(options);
  }
}

TEST(Workers, OfTwoThreads) {
  for (const KernelChoice kernels : {KernelChoice::kAuto, KernelChoice::kRef}) {
    ClusterOptions options = PlainOptions(kernels);
    options.workers = 2;
    options.threads = 2;
    ServeAndExpect(options);
  }
}

// As little as a worker may have: a step in which all three are full takes several rounds.
TEST(Workers, LittleMemoryForArrivals) {
  ClusterOptions options = PlainOptions(KernelChoice::kAuto);
  options.workers = 3;
  options.expert_workers = 1;
  options.arrivals_max = kArrivalsLeast;
  options.core = {};
  options.core.first_rows = 400;
  ServeAndExpect(options);
}

class UcxTest : public testing::TestWithParam<int> {};
TEST_P(UcxTest, Threads) {
  if (!std::ranges::count(ExchangeBackendsHere(), "ucx")) GTEST_SKIP() << "built without UCX";
  ClusterOptions options = PlainOptions(KernelChoice::kAuto);
  options.workers = GetParam();
  options.exchange = "ucx";
  options.core = {};
  ServeAndExpect(options);
}
INSTANTIATE_TEST_SUITE_P(Exchange, UcxTest, testing::Values(2, 4));

}  // namespace
}  // namespace conclave
