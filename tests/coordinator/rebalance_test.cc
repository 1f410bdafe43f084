#include "coordinator/rebalance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "world.h"

namespace conclave {
namespace {

using testing::HasSubstr;

constexpr Micros kMinute = 60'000'000;

// Two workers. Slot 0 has the even experts, and most rows go to experts 0 and 2 of each layer.
class RebalanceTest : public testing::Test {
 protected:
  explicit RebalanceTest(CoordinatorConfig config = ClusterOf(2)) : world_(config) {
    for (int i = 0; i < 2; ++i) world_.Join({});
    world_.Settle();
  }

  void SetRows(std::uint32_t hot, std::uint32_t cold = 1) {
    for (const LinkId link : world_.Links()) {
      world_.WorkerAt(link)->expert_rows.assign(16, cold);
      for (const int expert : {0, 2, 8, 10}) {
        world_.WorkerAt(link)->expert_rows[static_cast<std::size_t>(expert)] = hot;
      }
    }
  }
  // Twenty rows per cold expert at least.
  void Serve(int tokens = 40) {
    world_.Ask(AskOf("r" + std::to_string(next_++), PromptOf(20), tokens));
    world_.Settle();
  }
  ClusterStatus Status() { return world_.core().Status(world_.now()); }
  int Changes() {
    return static_cast<int>(
        Status().changes[static_cast<std::size_t>(ChangeKind::kRebalance)]);
  }

  World world_;
  int next_ = 0;
};

TEST_F(RebalanceTest, WithoutRowsThereIsNothingToGoBy) {
  const absl::Status status = world_.Rebalance();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("too little was measured"));
}

TEST_F(RebalanceTest, EvenLoadsDoNotPay) {
  Serve();
  const absl::Status status = world_.Rebalance();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("does not pay: 0 of 16 experts"));
  EXPECT_EQ(Changes(), 0);
}

TEST_F(RebalanceTest, HotExpertsMoveApartAndStreamsGoOn) {
  SetRows(10);
  Serve();
  world_.Ask(AskOf("during", PromptOf(30), 60));
  const Epoch before = Status().epoch;
  const absl::Status status = world_.Rebalance();
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(world_.Rebalance().code(), absl::StatusCode::kFailedPrecondition)
      << "one at a time";
  world_.Settle();
  EXPECT_EQ(Status().epoch.number, before.number + 1);
  EXPECT_EQ(Status().recent.back().kind, ChangeKind::kRebalance);
  EXPECT_EQ(Status().recent.back().cause, "experts are placed by load");
  // Each has one of the two hot ones of each layer now.
  for (const WorkerStatus& worker : Status().workers) {
    for (const auto& layer : worker.experts_by_layer) {
      const auto hot = std::ranges::count_if(layer, [](int e) { return e == 0 || e == 2; });
      EXPECT_EQ(hot, 1) << "slot " << worker.slot.value;
    }
  }
  Serve();
  const absl::Status again = world_.Rebalance();
  EXPECT_THAT(std::string(again.message()), HasSubstr("does not pay"));
  world_.ExpectExact();
}

TEST_F(RebalanceTest, ALossMeanwhileComesFirst) {
  SetRows(10);
  Serve();
  world_.Ask(AskOf("during", PromptOf(30), 60));
  ASSERT_TRUE(world_.Rebalance().ok());
  world_.Kill(world_.Links().front());
  EXPECT_EQ(world_.Rebalance().code(), absl::StatusCode::kFailedPrecondition) << "not serving";
  world_.Settle();
  EXPECT_EQ(Status().workers.size(), 1u);
  EXPECT_TRUE(world_.core().ready());
  world_.ExpectExact();
  EXPECT_THAT(std::string(world_.Rebalance().message()), HasSubstr("one worker"));
}

class Unasked : public RebalanceTest {
 protected:
  static CoordinatorConfig Config(RebalanceMode mode) {
    CoordinatorConfig config = ClusterOf(2);
    config.rebalance = mode;
    return config;
  }
  explicit Unasked(RebalanceMode mode = RebalanceMode::kAuto) : RebalanceTest(Config(mode)) {}
};

TEST_F(Unasked, ItIsDoneWhenItClearlyPaysAndNotSoonAgain) {
  SetRows(10);
  for (int i = 0; i < 8; ++i) Serve();
  world_.Pass(4 * kMinute);
  world_.Settle();
  EXPECT_EQ(Changes(), 0) << "too soon after the start";
  world_.Pass(2 * kMinute);
  world_.Settle();
  EXPECT_EQ(Changes(), 1);
  // The load is another one at once, but it was placed anew a moment ago.
  SetRows(1);
  for (const LinkId link : world_.Links()) {
    const auto owned = Status().workers[1].experts_by_layer[0];
    for (const std::uint16_t expert : owned) world_.WorkerAt(link)->expert_rows[expert] = 40;
  }
  for (int i = 0; i < 8; ++i) Serve();
  world_.Pass(kMinute);
  world_.Settle();
  EXPECT_EQ(Changes(), 1);
  world_.Pass(5 * kMinute);
  world_.Settle();
  EXPECT_EQ(Changes(), 2);
  world_.ExpectExact();
}

TEST_F(Unasked, SmallGainsAreLeftAlone) {
  SetRows(13, 10);
  for (int i = 0; i < 4; ++i) Serve();
  world_.Pass(6 * kMinute);
  world_.Settle();
  EXPECT_EQ(Changes(), 0);
}

class OnlyAsked : public Unasked {
 protected:
  OnlyAsked() : Unasked(RebalanceMode::kManual) {}
};

TEST_F(OnlyAsked, ItIsNotDoneUnasked) {
  SetRows(10);
  for (int i = 0; i < 8; ++i) Serve();
  for (int i = 0; i < 10; ++i) world_.Pass(kMinute);
  world_.Settle();
  EXPECT_EQ(Changes(), 0);
}

}  // namespace
}  // namespace conclave
