#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/logits/logit_stats.h"

namespace conclave {
namespace {

TEST(FinishLogitStats, MergesSlices) {
  const std::vector<LogitSliceStats> slices = {
      {3, 1.0f, 2.0}, {9000, 4.0f, 1.5}, {17000, 2.0f, 1.0}};
  const LogitStats stats = FinishLogitStats(slices);
  EXPECT_EQ(stats.best, 9000);
  EXPECT_EQ(stats.max, 4.0f);
  EXPECT_NEAR(stats.log_sum, std::log(2 * std::exp(-3.0) + 1.5 + std::exp(-2.0)), 1e-15);
}

TEST(FinishLogitStats, ATieGoesToTheLowerSlice) {
  const std::vector<LogitSliceStats> slices = {{100, 4.0f, 1.0}, {8200, 4.0f, 1.0}};
  EXPECT_EQ(FinishLogitStats(slices).best, 100);
  EXPECT_NEAR(FinishLogitStats(slices).log_sum, std::log(2.0), 1e-15);
}

TEST(FinishLogitStats, SlicesWithoutANumberCountNothing) {
  const std::vector<LogitSliceStats> slices = {{-1, 0, 0}, {8300, -5.0f, 1.0}, {-1, 0, 0}};
  const LogitStats stats = FinishLogitStats(slices);
  EXPECT_EQ(stats.best, 8300);
  EXPECT_EQ(stats.max, -5.0f);
  EXPECT_EQ(stats.log_sum, 0.0);
}

TEST(FinishLogitStats, NoNumberAtAllGivesNoBest) {
  const std::vector<LogitSliceStats> slices = {{-1, 0, 0}, {-1, 0, 0}};
  EXPECT_EQ(FinishLogitStats(slices).best, -1);
}

TEST(FinishLogitStats, InfiniteMaximaAreNotNaN) {
  const float infinity = INFINITY;
  const std::vector<LogitSliceStats> up = {{1, 3.0f, 1.0}, {8200, infinity, 2.0}};
  EXPECT_EQ(FinishLogitStats(up).best, 8200);
  EXPECT_NEAR(FinishLogitStats(up).log_sum, std::log(2.0), 1e-15);
  const std::vector<LogitSliceStats> down = {{0, -infinity, 8192.0}, {8192, -infinity, 10.0}};
  EXPECT_EQ(FinishLogitStats(down).best, 0);
  EXPECT_NEAR(FinishLogitStats(down).log_sum, std::log(8202.0), 1e-12);
}

}  // namespace
}  // namespace conclave
