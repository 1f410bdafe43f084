// The coordinator's edge, piece by piece: queue of parts, pool, metrics.
#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "coordinator/edge/metrics.h"
#include "coordinator/edge/part_queue.h"
#include "coordinator/edge/work_pool.h"

namespace conclave {
namespace {

StreamPart PartOf(TokenId id, std::size_t top) {
  StreamPart part;
  part.ids = {id};
  part.text = "x";
  part.logprobs = {{.id = id, .logprob = -1, .top = std::vector<TopLogprob>(top)}};
  return part;
}

TEST(PartQueue, JoinsUpToItsLimitAndKeepsOrder) {
  PartQueue queue;
  constexpr int kParts = 3000;
  for (int i = 0; i < kParts; ++i) queue.Add(PartOf(i, 32));
  StreamPart last;
  last.ending.emplace().end = End::kStop;
  queue.Add(std::move(last));
  int messages = 0;
  TokenId next = 0;
  bool ended = false;
  while (!queue.empty()) {
    EXPECT_FALSE(ended);
    const StreamPart part = queue.Take();
    ++messages;
    EXPECT_EQ(part.ids.size(), part.logprobs.size());
    EXPECT_EQ(part.ids.size(), part.text.size());
    EXPECT_LE(part.ids.size() * 400, PartQueue::kMessageBytesMax + 4096);
    for (const TokenId id : part.ids) EXPECT_EQ(id, next++);
    ended = part.ending.has_value();
  }
  EXPECT_TRUE(ended);
  EXPECT_EQ(next, kParts);
  EXPECT_GT(messages, 3);
  EXPECT_LT(messages, 20);
}

TEST(WorkPool, RefusesBeyondItsBoundsAndGivesBack) {
  std::promise<void> gate;
  std::shared_future<void> open = gate.get_future().share();
  std::promise<void> started;
  std::atomic<int> ran{0};
  {
    WorkPool pool({.threads = 1, .entries_max = 2, .bytes_max = 100});
    ASSERT_TRUE(pool.Offer(60, [&] {
      started.set_value();
      open.wait();
      ++ran;
    }));
    started.get_future().wait();  // it has left the queue, its bytes still count
    EXPECT_FALSE(pool.Offer(50, [&] { ++ran; }));
    EXPECT_TRUE(pool.Offer(10, [&] { ++ran; }));
    EXPECT_TRUE(pool.Offer(10, [&] { ++ran; }));
    EXPECT_FALSE(pool.Offer(10, [&] { ++ran; })) << "a third entry";
    gate.set_value();
  }
  EXPECT_EQ(ran, 3);
}

TEST(Metrics, TokensThatComeTogetherShareTheirGap) {
  Metrics metrics;
  StreamPart first;
  first.ids = {1};
  metrics.Count(first, {.asked_at = 0, .last_token_at = 0, .now = 30'000});
  StreamPart three;
  three.ids = {2, 3, 4};
  three.ending.emplace();
  metrics.Count(three, {.asked_at = 0, .last_token_at = 30'000, .now = 90'000});
  const std::string page = metrics.Render({}, 1'500'000, EventTimes());
  for (const char* line : {"conclave_status_age_seconds 1.5", "conclave_time_to_first_token_seconds_count 1",
                           "conclave_time_to_first_token_seconds_sum 0.03",
                           "conclave_inter_token_latency_seconds_count 3",
                           "conclave_inter_token_latency_seconds_bucket{le=\"0.025\"} 3",
                           "conclave_e2e_request_latency_seconds_count 1"}) {
    EXPECT_NE(page.find(line), std::string::npos) << line << "\n" << page;
  }
}

// Times are told apart by event, and a worker's message goes by its own name.
TEST(EventTimes, QuantilesAreOfEachEvent) {
  EventTimes times;
  for (int i = 1; i <= 100; ++i) times.Add(Ticked{}, i * 1000);
  times.Add(WorkerSaid{.now = 0, .link = LinkId{1}, .message = Heartbeat{}}, 7);
  times.Add(WorkerSaid{.now = 0, .link = LinkId{1}, .message = Heartbeat{}}, 3'000'000'000'000);
  const std::vector<EventTimes::Summary> summaries = times.Summaries();
  ASSERT_EQ(summaries.size(), 2u);
  EXPECT_STREQ(summaries[0].name, "heartbeat");
  EXPECT_EQ(summaries[0].count, 2u);
  EXPECT_EQ(summaries[0].us_max, 3e9) << "longer than any bucket";
  EXPECT_STREQ(summaries[1].name, "tick");
  EXPECT_EQ(summaries[1].count, 100u);
  EXPECT_NEAR(summaries[1].us_p50, 51, 2);
  EXPECT_NEAR(summaries[1].us_p99, 100, 2);
  EXPECT_EQ(summaries[1].us_max, 100);
  EXPECT_NEAR(summaries[1].seconds, 5.05e-3, 1e-9);
  const std::string page = Metrics().Render({}, 0, times);
  EXPECT_NE(page.find("conclave_events_total{event=\"tick\"} 100"), std::string::npos) << page;
}

TEST(Metrics, ImbalanceIsTheBusiestOverTheMean) {
  ClusterStatus status;
  status.model.experts = 4;
  status.expert_rows = {1, 1, 1, 1, 4, 0, 0, 0};
  const std::string page = Metrics().Render(status, 0, EventTimes());
  EXPECT_NE(page.find("conclave_expert_imbalance{over_layers=\"max\"} 4"), std::string::npos);
  EXPECT_NE(page.find("conclave_expert_imbalance{over_layers=\"mean\"} 2.5"), std::string::npos);
  EXPECT_NE(page.find("conclave_expert_rows_total 8"), std::string::npos) << page;
}

}  // namespace
}  // namespace conclave
