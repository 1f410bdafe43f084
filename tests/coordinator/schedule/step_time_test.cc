#include "coordinator/schedule/step_time.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/limits.h"

namespace conclave {
namespace {

const RowCost kCost{1000};

TEST(Pace, DoublesUntilAStepTakesTooLongAndThenSettlesBelowTheTime) {
  Pace pace(64, 16, 1 << 20);
  std::vector<Micros> lengths;
  for (int i = 0; i < 60; ++i) {
    lengths.push_back(5'000 + 20 * pace.amount());
    pace.Learn(lengths.back(), pace.amount(), 50'000);
  }
  EXPECT_LT(lengths[2], lengths[3]);
  EXPECT_LE(std::ranges::count_if(lengths, [](Micros length) { return length > 50'000; }), 1);
  for (std::size_t i = 20; i < lengths.size(); ++i) {
    EXPECT_GE(lengths[i], 40'000);
    EXPECT_LE(lengths[i], 50'000);
  }
}

TEST(Pace, OneSlowStepCostsHalfAndIsForgottenSoon) {
  Pace pace(64, 16, 1 << 20);
  for (int i = 0; i < 60; ++i) pace.Learn(5'000 + 20 * pace.amount(), pace.amount(), 50'000);
  const std::int64_t settled = pace.amount();
  pace.Learn(10'000'000, settled, 50'000);
  EXPECT_GE(pace.amount(), settled / 2);
  for (int i = 0; i < 6; ++i) pace.Learn(5'000 + 20 * pace.amount(), pace.amount(), 50'000);
  EXPECT_GE(pace.amount(), settled * 9 / 10);
}

TEST(Pace, TwoStepsThatWerePlannedBeforeTheFirstWasMeasuredCountOnce) {
  Pace pace(1000, 16, 1 << 20);
  pace.Learn(100'000, 1000, 80'000);
  const std::int64_t once = pace.amount();
  pace.Learn(100'000, 1000, 80'000);
  EXPECT_EQ(pace.amount(), once);
  EXPECT_EQ(once, 700);
}

TEST(Pace, AStepThatHeldLittleProvesNothing) {
  Pace pace(1000, 16, 1 << 20);
  for (int i = 0; i < 100; ++i) pace.Learn(10, 100, 50'000);
  EXPECT_EQ(pace.amount(), 1000);
}

TEST(Pace, StaysWithinItsBounds) {
  Pace pace(1000, 500, 4000);
  for (int i = 0; i < 100; ++i) pace.Learn(1, pace.amount(), 50'000);
  EXPECT_EQ(pace.amount(), 4000);
  for (int i = 0; i < 100; ++i) pace.Learn(1'000'000, pace.amount(), 50'000);
  EXPECT_EQ(pace.amount(), 500);
}

StepTime::Measured Decode(Micros length) {
  return {.length = length, .decode_rows = true, .cost = kCost.OfRows(8)};
}

TEST(StepTime, TheTargetIsFourDecodeStepsButNeverBelowItsLeast) {
  StepTime time(std::nullopt, kCost, 64);
  EXPECT_EQ(time.target(), StepTime::kTargetMin);
  for (int i = 0; i < 10; ++i) time.Learn(Decode(2'000));
  EXPECT_EQ(time.target(), StepTime::kTargetMin);
  for (int i = 0; i < 200; ++i) time.Learn(Decode(30'000));
  EXPECT_NEAR(static_cast<double>(time.target()), 120'000, 500);
  time.Learn(Decode(10'000'000));
  EXPECT_LE(time.target(), 136'000) << "one slow step says little";
  EXPECT_EQ(StepTime(Micros{7'000}, kCost, 64).target(), 7'000);
}

TEST(StepTime, StepsWithDecodeRowsAndStepsWithoutAreLearnedApart) {
  StepTime time(Micros{20'000}, kCost, 64);
  const auto length = [](std::int64_t cost) { return 1'000 + cost / 10; };  // 100 us a row
  for (int i = 0; i < 100; ++i) {
    const std::int64_t mixed = time.CostLimit(true);
    time.Learn({.length = length(mixed),
                .decode_rows = true,
                .cost = mixed,
                .cost_other = mixed / 2,
                .prompts = true});
    const std::int64_t prompts = time.CostLimit(false);
    time.Learn({.length = length(prompts), .cost = prompts, .cost_other = prompts,
                .prompts = true});
  }
  EXPECT_LE(length(time.CostLimit(true)), 20'000);
  EXPECT_GE(length(time.CostLimit(true)), 15'000);
  EXPECT_EQ(time.CostLimit(false), kCost.OfRows(kWorkerRowsMax)) << "a second is enough for all";
}

TEST(StepTime, AStepThatIsNearlyOnlyDecodeRowsTellsHowLongThoseTake) {
  // Prompts wait all the time and decode rows alone take longer than the target: what decode rows
  // take is seen nevertheless, and the target follows.
  StepTime time(std::nullopt, kCost, 64);
  for (int i = 0; i < 100; ++i) {
    const std::int64_t other = std::max(kCost.OfRows(16), time.CostLimit(true) - kCost.OfRows(500));
    time.Learn({.length = 40'000 + other / 50,
                .decode_rows = true,
                .cost = kCost.OfRows(500) + other,
                .cost_other = other,
                .prompts = true});
  }
  EXPECT_GT(time.target(), 140'000);
  EXPECT_GT(time.CostLimit(true), kCost.OfRows(1000));
}

TEST(StepTime, AMigrationMakesADecodeStepAtMostHalfAsLongAgain) {
  StepTime time(std::nullopt, kCost, 64);
  EXPECT_EQ(time.MigrationRows(), StepTime::kMigrationRowsMin);
  for (int i = 0; i < 100; ++i) time.Learn(Decode(4'000));
  for (int i = 0; i < 100; ++i) {
    const std::int32_t rows = time.MigrationRows();
    time.Learn({.length = 4'000 + Micros{rows} * 20,
                .decode_rows = true,
                .cost = kCost.OfRows(8 + rows),
                .cost_other = kCost.OfRows(rows),
                .migration_rows = rows});
  }
  EXPECT_GE(time.MigrationRows(), 50);
  EXPECT_LE(time.MigrationRows(), 100);
  for (int i = 0; i < 100; ++i) {
    time.Learn({.length = 9'000,
                .decode_rows = true,
                .cost = kCost.OfRows(80),
                .cost_other = kCost.OfRows(70),
                .migration_rows = time.MigrationRows()});
  }
  EXPECT_EQ(time.MigrationRows(), StepTime::kMigrationRowsMin) << "but a move goes on";
}

}  // namespace
}  // namespace conclave
