// The coordinator's edge, piece by piece: queue of parts, pool, strand, metrics.
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "coordinator/edge/metrics.h"
#include "coordinator/edge/part_queue.h"
#include "coordinator/edge/strand.h"
#include "coordinator/edge/work_pool.h"
#include "small_model.h"

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

// Counts what the strand does with the core's effects.
class Listener final : public EffectCarrier {
 public:
  void Begin(const CoordinatorEvent&, Micros) override {}
  void Carry(CoordinatorEffect& effect, Micros now) override {
    EXPECT_EQ(std::this_thread::get_id(), thread());
    EXPECT_GE(now, last_now_);
    last_now_ = now;
    if (const auto* tell = std::get_if<TellClient>(&effect)) endings += tell->part.ending ? 1 : 0;
  }
  void Settle(const CoordinatorEvent& event, Micros) override {
    EXPECT_EQ(std::this_thread::get_id(), thread());
    if (std::holds_alternative<Ticked>(event)) ++ticks;
    if (std::holds_alternative<ClientAsked>(event)) ++asks;
  }
  void Observe(const CoordinatorCore&) override {}
  std::atomic<int> endings{0}, ticks{0}, asks{0};

 private:
  std::thread::id thread() {
    if (thread_ == std::thread::id()) thread_ = std::this_thread::get_id();
    return thread_;
  }
  std::thread::id thread_;
  Micros last_now_ = 0;
};

TEST(Strand, HandlesEveryEventOfManyThreadsOnOneThread) {
  CoordinatorConfig config;
  CoordinatorCore core(config, SmallModel(), nullptr);
  Listener listener;
  CoordinatorStrand strand(core, listener);
  constexpr int kThreads = 4, kEach = 500;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&strand, t] {
      for (int i = 0; i < kEach; ++i) {
        ClientAsk ask;
        ask.id = std::to_string(t) + "-" + std::to_string(i);
        ask.prompt = {1000};  // not in the vocabulary: refused at once
        const RequestId request{static_cast<std::uint64_t>(t * kEach + i + 1)};
        EXPECT_TRUE(strand.Post(ClientAsked{.now = 0, .request = request, .ask = ask}));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(strand.AskStatus().requests_running, 0);
  EXPECT_EQ(listener.asks, kThreads * kEach);
  EXPECT_EQ(listener.endings, kThreads * kEach);
  strand.Stop();
  EXPECT_GT(listener.ticks, 0);
  EXPECT_FALSE(strand.Post(Ticked{}));
  EXPECT_FALSE(strand.Ask([](const CoordinatorCore&, Micros) { ADD_FAILURE(); }));
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
  const std::string page = metrics.Render({});
  for (const char* line : {"conclave_time_to_first_token_seconds_count 1",
                           "conclave_time_to_first_token_seconds_sum 0.03",
                           "conclave_inter_token_latency_seconds_count 3",
                           "conclave_inter_token_latency_seconds_bucket{le=\"0.025\"} 3",
                           "conclave_e2e_request_latency_seconds_count 1"}) {
    EXPECT_NE(page.find(line), std::string::npos) << line << "\n" << page;
  }
}

TEST(Metrics, ImbalanceIsTheBusiestOverTheMean) {
  ClusterStatus status;
  status.model.experts = 4;
  status.expert_rows = {1, 1, 1, 1, 4, 0, 0, 0};
  const std::string page = Metrics().Render(status);
  EXPECT_NE(page.find("conclave_expert_imbalance{over_layers=\"max\"} 4"), std::string::npos);
  EXPECT_NE(page.find("conclave_expert_imbalance{over_layers=\"mean\"} 2.5"), std::string::npos);
  EXPECT_NE(page.find("conclave_expert_rows_total 8"), std::string::npos) << page;
}

}  // namespace
}  // namespace conclave
