// What the planner promises of whole runs, whatever the load: no worker idles while prompts wait,
// nothing is starved, streams are not held up, and nothing is planned that a worker would refuse.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/philox.h"
#include "coordinator/audit.h"
#include "coordinator/schedule/plan_step.h"
#include "tests/coordinator/schedule/step_rig.h"

namespace conclave {
namespace {

std::vector<WorkerShape> Workers(int count, std::int32_t kv_blocks = 4000) {
  return std::vector<WorkerShape>(static_cast<std::size_t>(count),
                                  {.kv_blocks = kv_blocks, .rows_max = kWorkerRowsMax});
}

CoordinatorConfig Default() { return {}; }

void ExpectFull(const SeenStep& step) {
  for (std::size_t i = 0; i < step.fill.size(); ++i) {
    ASSERT_GE(step.fill[i], 0.9) << "worker " << i << ", " << step.rows[i] << " rows";
  }
}

TEST(Fill, EveryWorkerIsFullWhilePromptsWait) {
  for (const int workers : {1, 8, 128}) {
    SCOPED_TRACE(absl::StrCat(workers, " workers"));
    StepRig rig(Default(), Workers(workers));
    for (int i = 0; i < 8 * workers; ++i) rig.Add(2000, 8);
    int waiting = 0;
    while (rig.Step()) {
      if (!rig.last().prompts_wait) continue;
      ++waiting;
      ExpectFull(rig.last());
      if (HasFatalFailure()) return;
    }
    EXPECT_GT(waiting, 5);
    EXPECT_EQ(rig.state().requests.size(), 0u);
    EXPECT_EQ(rig.state().totals.preemptions, 0u);
  }
}

TEST(Fill, EveryWorkerIsFullWhateverTheLengths) {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Rng rng(seed, 9);
    const auto between = [&](int low, int high) {
      return low + static_cast<int>(rng.Below(static_cast<std::uint64_t>(high - low + 1)));
    };
    const int workers = between(1, 12);
    CoordinatorConfig config = Default();
    config.plans_ahead = 1;
    config.prefix_cache = false;
    StepRig rig(config, Workers(workers, 20'000));
    rig.SetModel(between(100, 20'000), between(1, 200));
    int waiting = 0;
    for (int step = 0; step < 150; ++step) {
      // Enough that the queue is rarely empty, of all lengths.
      while (rig.state().requests.waiting().size() < 2 * static_cast<std::size_t>(workers)) {
        rig.Add(between(0, 9) == 0 ? between(10'000, 60'000) : between(1, 3'000), between(1, 60));
      }
      ASSERT_TRUE(rig.Step());
      if (!rig.last().prompts_wait) continue;
      // Only workers whose KV memory has room may take prompts.
      const bool room = std::ranges::all_of(rig.state().live, [&](Slot slot) {
        return rig.state().HomeAt(slot).blocks.available() > 10'000;
      });
      if (!room) break;
      ++waiting;
      ExpectFull(rig.last());
      if (HasFatalFailure()) return;
    }
    EXPECT_GT(waiting, 20);
    Audit(rig.state());
  }
}

TEST(Fill, NoWorkerMakesTheOthersWaitForALongContext) {
  StepRig rig(Default(), Workers(4, 8000));
  rig.SetModel(1000, 300);
  rig.Add(100'000, 4);
  for (int i = 0; i < 60; ++i) rig.Add(3000, 4);
  while (rig.Step()) {
    if (!rig.last().prompts_wait) continue;
    const auto [least, most] = std::ranges::minmax(rig.last().cost);
    ASSERT_LE(static_cast<double>(most), 1.12 * static_cast<double>(least));
  }
}

// A decode row is in every step, whatever waits.
TEST(Fill, StreamsNeverWaitForPrompts) {
  CoordinatorConfig config = Default();
  StepRig rig(config, Workers(2));
  std::vector<RequestId> streams;
  for (int i = 0; i < 20; ++i) streams.push_back(rig.Add(10, 100));
  for (int i = 0; i < 3; ++i) rig.Step();
  for (int i = 0; i < 100; ++i) rig.Add(4000, 4);
  rig.Add(100'000, 4);
  for (int step = 0; step < 60; ++step) {
    std::vector<std::int32_t> before;
    for (const RequestId id : streams) before.push_back(rig.state().requests.Find(id)->planned);
    ASSERT_TRUE(rig.Step());
    for (std::size_t i = 0; i < streams.size(); ++i) {
      ASSERT_EQ(rig.state().requests.Find(streams[i])->planned, before[i] + 1);
    }
  }
}

TEST(Fill, AShortPromptIsNotStuckBehindALongOne) {
  StepRig rig(Default(), Workers(1, 8000));
  rig.SetModel(1000, 100);
  const RequestId large = rig.Add(100'000, 4);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(rig.Step());
  ASSERT_EQ(rig.FirstToken(large), 0u);
  for (int i = 0; i < 20; ++i) {
    const RequestId small = rig.Add(300, 2);
    const std::size_t asked = rig.steps().size();
    while (rig.FirstToken(small) == 0) ASSERT_TRUE(rig.Step());
    EXPECT_LE(rig.FirstToken(small) - asked, 3u);
  }
  EXPECT_EQ(rig.FirstToken(large), 0u) << "it is long indeed";
}

TEST(Fill, ALongPromptHasHalfAmongShortOnesWithoutEnd) {
  StepRig rig(Default(), Workers(1, 16'000));
  rig.SetModel(1000, 20);
  for (int i = 0; i < 30; ++i) rig.Add(1000, 2);
  for (int i = 0; i < 8; ++i) rig.Step();
  const RequestId large = rig.Add(50'000, 4);
  std::int64_t cost = 0;
  while (rig.FirstToken(large) == 0) {
    while (rig.state().requests.waiting().size() < 30) rig.Add(1000, 2);
    ASSERT_TRUE(rig.Step());
    cost += rig.last().cost[0];
    ASSERT_LT(rig.steps().size(), 3000u);
  }
  // Its own cost, and no more than three times as much for everything else.
  EXPECT_LT(cost, 4 * RowCost(StepRig::kContextPerRow).Of(0, 50'000));
}

TEST(Fill, EqualPromptsBeginInTheOrderOfArrival) {
  StepRig rig(Default(), Workers(4));
  std::vector<RequestId> ids;
  for (int i = 0; i < 64; ++i) ids.push_back(rig.Add(2000, 1));
  while (rig.Step()) continue;
  std::size_t latest = 0;
  for (const RequestId id : ids) {
    EXPECT_GE(rig.FirstToken(id) + 1, latest) << "overtook by more than a step";
    latest = std::max(latest, rig.FirstToken(id));
  }
}

// The first of the queue needs more KV memory than is free: short ones overtake it, but have no more
// tokens in all than it has itself, and then it begins however many still come.
TEST(Fill, ARequestWithoutRoomIsOvertakenByNoMoreTokensThanItHas) {
  StepRig rig(Default(), Workers(1, 100));
  rig.Add(1500, 300);  // 47 blocks, and nine more in the end
  ASSERT_TRUE(rig.Step());
  const RequestId large = rig.Add(2000, 10);
  std::vector<RequestId> small;
  while (rig.state().requests.Find(large)->state == RequestState::kWaiting) {
    while (rig.state().requests.waiting().size() < 20) small.push_back(rig.Add(90, 3));
    ASSERT_TRUE(rig.Step());
    ASSERT_LT(rig.steps().size(), 2000u);
  }
  // One that began in the same step as the large one did so after it.
  const auto overtook = std::ranges::count_if(small, [&](RequestId id) {
    return rig.FirstToken(id) > 0 && rig.FirstToken(id) < rig.steps().size();
  });
  EXPECT_GT(overtook, 10);
  EXPECT_LE(overtook * 90, 2000);
}

TEST(Fill, StepsWithDecodeRowsKeepToTheTarget) {
  for (const double per_row : {2.0, 40.0, 900.0}) {
    for (const Micros fixed : {300, 8'000, 25'000}) {
      SCOPED_TRACE(absl::StrCat(fixed, " us and ", per_row, " us a row"));
      CoordinatorConfig config = Default();
      config.prefix_cache = false;
      config.plans_ahead = 1;
      StepRig rig(config, Workers(3, 20'000));
      rig.SetModel(fixed, per_row);
      Rng rng(7, 7);
      rig.SetNoise([&] { return 0.95 + 0.1 * rng.Uniform(); });
      for (int i = 0; i < 24; ++i) rig.Add(20, 2000);
      for (int i = 0; i < 60; ++i) ASSERT_TRUE(rig.Step());
      int late = 0, steps = 0;
      for (int i = 0; i < 200; ++i) {
        while (rig.state().requests.waiting().size() < 6) {
          rig.Add(rng.Below(10) == 0 ? 30'000 : 2'000, 2);
        }
        const Micros target = rig.state().step_time.target();
        ASSERT_TRUE(rig.Step());
        ASSERT_TRUE(rig.last().decode_rows);
        if (i < 20) continue;  // it learns
        ++steps;
        late += rig.last().length > target ? 1 : 0;
      }
      EXPECT_LE(late, steps / 20);
      const double all_rows = static_cast<double>(fixed) + per_row * kWorkerRowsMax * 0.8;
      EXPECT_GE(static_cast<double>(rig.last().length),
                std::min(static_cast<double>(rig.state().step_time.target()) / 2, all_rows))
          << "a step holds what it may";
    }
  }
}

TEST(Fill, TheTargetHoldsAgainAfterOneSlowStepAndAfterTheMachineGotSlower) {
  CoordinatorConfig config = Default();
  config.step_target = 30'000;
  config.prefix_cache = false;
  StepRig rig(config, Workers(2, 20'000));
  rig.SetModel(2'000, 50);
  for (int i = 0; i < 8; ++i) rig.Add(20, 2000);
  const auto go = [&](int steps) {
    for (int i = 0; i < steps; ++i) {
      while (rig.state().requests.waiting().size() < 4) rig.Add(2'000, 2);
      ASSERT_TRUE(rig.Step());
    }
  };
  go(40);
  const Micros usual = rig.last().length;
  EXPECT_GE(usual, 20'000);
  EXPECT_LE(usual, 30'000);
  rig.SetNoise([] { return 50.0; });
  go(1);
  rig.SetNoise([] { return 1.0; });
  go(10);
  EXPECT_NEAR(static_cast<double>(rig.last().length), static_cast<double>(usual), 3'000);
  rig.SetModel(4'000, 200);
  go(10);
  EXPECT_LE(rig.last().length, 30'000);
  EXPECT_GE(rig.last().length, 20'000);
}

}  // namespace
}  // namespace conclave
