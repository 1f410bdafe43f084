#include "coordinator/recent_load.h"

#include <gtest/gtest.h>

#include <vector>

namespace conclave {
namespace {

constexpr Micros kSecond = 1'000'000;

TEST(RecentLoad, RowsAddUpAndFadeToHalfInFiveMinutes) {
  RecentLoad load;
  load.Fade(kSecond);
  const std::vector<std::uint32_t> rows = {10, 0, 30};
  load.Add(rows);
  load.Add({});
  load.Add(rows);
  EXPECT_EQ(load.rows(), 80);
  EXPECT_EQ(load.expert_rows()[2], 60);
  EXPECT_EQ(load.Fade(2 * kSecond), 1) << "not at every tick";
  double factor = 1;
  for (int i = 1; i <= 30; ++i) factor *= load.Fade((1 + 10 * i) * kSecond);
  EXPECT_NEAR(factor, 0.38, 0.03) << "five minutes in steps";
  EXPECT_NEAR(load.rows(), 80 * factor, 1e-6);
  EXPECT_NEAR(load.expert_rows()[0], 20 * factor, 1e-3);
  EXPECT_EQ(load.expert_rows()[1], 0);
}

TEST(RecentLoad, ItSaysHowMuchTimeItSpeaksOf) {
  RecentLoad load;
  load.Fade(kSecond);
  EXPECT_EQ(load.covered(6 * kSecond), 5e6);
  load.Fade(11 * kSecond);
  EXPECT_LT(load.covered(11 * kSecond), 10e6) << "what is past counts less";
  EXPECT_GT(load.covered(11 * kSecond), 9e6);
}

WorkerPace Measured(double micros, double bytes, double ops) {
  return {.threads = 4, .work = {.micros = micros, .bytes = bytes, .ops = ops}};
}

TEST(RelativeSpeeds, NothingKnownIsAllAlike) {
  EXPECT_EQ(RelativeSpeeds({}), std::vector<double>());
  EXPECT_EQ(RelativeSpeeds(std::vector<WorkerPace>(3)), std::vector<double>(3, 1));
}

TEST(RelativeSpeeds, ThreadsCountUntilItIsMeasured) {
  const std::vector<WorkerPace> paces = {{.threads = 8, .work = {}},
                                         {.threads = 16, .work = {}},
                                         {.threads = 24, .work = {}}};
  EXPECT_EQ(RelativeSpeeds(paces), (std::vector<double>{0.5, 1, 1.5}));
}

TEST(RelativeSpeeds, TheSameWorkInHalfTheTimeIsTwiceAsFast) {
  const std::vector<WorkerPace> paces = {Measured(4e6, 1e9, 1e9), Measured(2e6, 1e9, 1e9),
                                         Measured(4e6, 1e9, 1e9), Measured(4e6, 1e9, 1e9)};
  const std::vector<double> speeds = RelativeSpeeds(paces);
  EXPECT_NEAR(speeds[1] / speeds[0], 1.75, 0.25);
  EXPECT_EQ(speeds[0], 1) << "an eighth slower than the mean is noise";
}

// One has few experts with many rows each: it does more for each byte that it reads, and is not
// taken for a faster one.
TEST(RelativeSpeeds, HotExpertsMakeNoWorkerFast) {
  // Ten microseconds a megabyte and ten a billion operations, for both.
  const std::vector<WorkerPace> paces = {Measured(10e6 + 5e6, 1e12, 0.5e15),
                                         Measured(5e6 + 10e6, 0.5e12, 1e15)};
  EXPECT_EQ(RelativeSpeeds(paces), std::vector<double>(2, 1));
}

TEST(RelativeSpeeds, NobodyIsMoreThanFourTimesFaster) {
  const std::vector<WorkerPace> paces = {Measured(100e6, 1e9, 1e9), Measured(1e6, 1e9, 1e9)};
  const std::vector<double> speeds = RelativeSpeeds(paces);
  EXPECT_EQ(speeds[1], 4);
  EXPECT_GE(speeds[0], 0.25);
}

}  // namespace
}  // namespace conclave
