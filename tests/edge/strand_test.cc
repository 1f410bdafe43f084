// One thread handles all events, and everybody reads what it published without waiting for it.
#include "coordinator/edge/strand.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "coordinator/edge/admin.h"
#include "grpcpp/grpcpp.h"
#include "small_model.h"

namespace conclave {
namespace {

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
  void Observe(const ClusterSnapshot&) override {}
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
  strand.Stop();  // what is queued is handled first
  EXPECT_EQ(strand.snapshot()->requests_running, 0);
  EXPECT_EQ(listener.asks, kThreads * kEach);
  EXPECT_EQ(listener.endings, kThreads * kEach);
  EXPECT_GT(listener.ticks, 0);
  EXPECT_FALSE(strand.Post(Ticked{}));
}

ClientAsked AskOf(std::uint64_t number, TokenId first) {
  ClientAsk ask;
  ask.id = std::to_string(number);
  ask.prompt = {first};
  return {.now = 0, .request = RequestId{number}, .ask = std::move(ask)};
}
constexpr TokenId kGoodToken = 1, kBadToken = 1000;

std::uint64_t EndingsOf(const ClusterSnapshot& snapshot) {
  return std::accumulate(snapshot.endings.begin(), snapshot.endings.end(), std::uint64_t{0});
}

// Whoever is told of an ending finds it in the snapshot.
class Witness final : public EffectCarrier {
 public:
  void Begin(const CoordinatorEvent&, Micros) override {}
  void Carry(CoordinatorEffect& effect, Micros) override {
    if (strand.load() == nullptr || !std::holds_alternative<TellClient>(effect)) return;
    EXPECT_EQ(EndingsOf(*strand.load()->snapshot()), ++endings);
  }
  void Settle(const CoordinatorEvent&, Micros) override {}
  void Observe(const ClusterSnapshot& snapshot) override { EXPECT_EQ(EndingsOf(snapshot), endings); }
  std::atomic<CoordinatorStrand*> strand{nullptr};
  std::uint64_t endings = 0;
};

TEST(Strand, PublishesBeforeItTells) {
  CoordinatorCore core({}, SmallModel(), nullptr);
  Witness witness;
  CoordinatorStrand strand(core, witness);
  witness.strand = &strand;
  for (std::uint64_t i = 1; i <= 200; ++i) EXPECT_TRUE(strand.Post(AskOf(i, kBadToken)));
  strand.Stop();
  EXPECT_EQ(witness.endings, 200u);
}

// Readers on many threads see one state after another, each whole: in a cluster without workers
// every ask is either waiting or refused.
TEST(Strand, ManyReadersSeeWholeStatesInOrder) {
  CoordinatorConfig config;
  config.waiting_max = 100'000;
  CoordinatorCore core(config, SmallModel(), nullptr);
  Listener listener;
  CoordinatorStrand strand(core, listener);
  std::atomic<bool> done{false};
  const auto read = [&] {
    std::uint64_t known = 0;
    Micros taken = 0;
    while (!done) {
      const std::shared_ptr<const ClusterSnapshot> snapshot = strand.snapshot();
      const std::uint64_t refused = EndingsOf(*snapshot);
      const std::uint64_t asked = refused + static_cast<std::uint64_t>(snapshot->requests_waiting);
      EXPECT_GE(snapshot->taken, taken);
      EXPECT_GE(asked, known);
      EXPECT_EQ(snapshot->endings[static_cast<std::size_t>(End::kRefused)], refused);
      const ClusterStatus status =
          StatusFrom(*snapshot, snapshot->taken, ExpertLists::kInclude);
      EXPECT_EQ(status.requests_waiting, snapshot->requests_waiting);
      EXPECT_FALSE(status.ready);
      EXPECT_FALSE(status.not_ready_because.empty());
      taken = snapshot->taken;
      known = asked;
    }
    return known;
  };
  std::vector<std::future<std::uint64_t>> readers;
  for (int i = 0; i < 3; ++i) readers.push_back(std::async(std::launch::async, read));
  constexpr std::uint64_t kAsks = 4000;
  for (std::uint64_t i = 1; i <= kAsks; ++i) {
    EXPECT_TRUE(strand.Post(AskOf(i, i % 2 == 0 ? kGoodToken : kBadToken)));
  }
  strand.Stop();
  const std::uint64_t asked = EndingsOf(*strand.snapshot()) +
                              static_cast<std::uint64_t>(strand.snapshot()->requests_waiting);
  done = true;
  EXPECT_EQ(asked, kAsks);
  for (auto& reader : readers) EXPECT_LE(reader.get(), kAsks);
}

// Stands still in the middle of an event, until it is let go.
class Gate final : public EffectCarrier {
 public:
  void Begin(const CoordinatorEvent& event, Micros) override {
    if (!std::holds_alternative<RebalanceAsked>(event)) return;
    there_.set_value();
    go_.get_future().wait();
  }
  void Carry(CoordinatorEffect&, Micros) override {}
  void Settle(const CoordinatorEvent&, Micros) override {}
  void Observe(const ClusterSnapshot&) override {}
  void AwaitClosed() { there_.get_future().wait(); }
  void Open() { go_.set_value(); }

 private:
  std::promise<void> there_, go_;
};

// Status is there at once, and what has to ask the strand ends at its deadline with a clear error.
TEST(Strand, OneThatStandsStillHoldsUpNoReader) {
  CoordinatorCore core({}, SmallModel(), nullptr);
  Gate gate;
  CoordinatorStrand strand(core, gate);
  FlightRecorder recorder("coordinator");
  AdminDesk desk(recorder);
  Serving serving;
  serving.strand = &strand;
  serving.desk = &desk;
  AdminService service(serving);
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  const auto stub = v1::AdminService::NewStub(server->InProcessChannel({}));
  strand.Post(RebalanceAsked{.now = 0, .ticket = 77});
  gate.AwaitClosed();
  {
    grpc::ClientContext context;
    v1::GetClusterResponse response;
    ASSERT_TRUE(stub->GetCluster(&context, {}, &response).ok());
    EXPECT_FALSE(response.not_ready_because().empty());
  }
  {
    grpc::ClientContext context;
    v1::DrainWorkerRequest request;
    request.set_worker("0");
    v1::DrainWorkerResponse response;
    const grpc::Status status = stub->DrainWorker(&context, request, &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED) << status.error_message();
    EXPECT_NE(status.error_message().find("did not answer within 5 s"), std::string::npos);
  }
  gate.Open();
  server->Shutdown();
}

}  // namespace
}  // namespace conclave
