#include "torture/stalls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace conclave::torture {
namespace {

using testing::ElementsAre;

double Charged(const Stalls& stalls, DeedKind kind) {
  return stalls.by_kind[static_cast<std::size_t>(kind)].charged_max_ms;
}
double Overlapping(const Stalls& stalls, DeedKind kind) {
  return stalls.by_kind[static_cast<std::size_t>(kind)].overlapping_max_ms;
}

TEST(Charge, ToTheWindowThatAGapTouches) {
  const std::vector<Window> windows = {{DeedKind::kKill, 100, 200}};
  const std::vector<Gap> gaps = {{0, 99}, {0, 100}, {120, 130}, {50, 300}, {200, 300}, {201, 300}};
  EXPECT_THAT(Charge(gaps, windows), ElementsAre(-1, 0, 0, 0, 0, -1));
}

TEST(Charge, ToTheHardestThenTheLatest) {
  const std::vector<Window> windows = {{DeedKind::kJoin, 0, 1000},
                                       {DeedKind::kKill, 100, 200},
                                       {DeedKind::kKill, 150, 300},
                                       {DeedKind::kHang, 400, 500}};
  const std::vector<Gap> gaps = {{0, 50}, {0, 120}, {160, 170}, {250, 450}};
  EXPECT_THAT(Charge(gaps, windows), ElementsAre(0, 1, 2, 3));
}

TEST(Measure, TakesTheLongestByKindAndByDeed) {
  const std::vector<Window> windows = {{DeedKind::kKill, 10'000, 20'000},
                                       {DeedKind::kKill, 50'000, 60'000},
                                       {DeedKind::kJoin, 15'000, 40'000}};
  const std::vector<Gap> gaps = {{0, 9'000},        // nobody's, and the longest but one
                                 {12'000, 16'000},  // the first kill's; a join runs
                                 {30'000, 33'000},  // the join's
                                 {45'000, 56'000},  // the second kill's
                                 {52'000, 53'000}};
  const Stalls stalls = Measure(gaps, windows);
  EXPECT_DOUBLE_EQ(stalls.max_ms, 11);
  EXPECT_DOUBLE_EQ(Charged(stalls, DeedKind::kKill), 11);
  EXPECT_DOUBLE_EQ(Charged(stalls, DeedKind::kJoin), 3);
  EXPECT_DOUBLE_EQ(Charged(stalls, DeedKind::kHang), 0);
  EXPECT_DOUBLE_EQ(Overlapping(stalls, DeedKind::kKill), 11);
  EXPECT_DOUBLE_EQ(Overlapping(stalls, DeedKind::kJoin), 4);
  EXPECT_THAT(stalls.worst_by_deed_ms, ElementsAre(4, 11, 3));
}

TEST(Measure, OfNothingIsNothing) {
  const Stalls stalls = Measure({}, {{DeedKind::kDrain, 1, 2}});
  EXPECT_DOUBLE_EQ(stalls.max_ms, 0);
  EXPECT_DOUBLE_EQ(Charged(stalls, DeedKind::kDrain), 0);
}

}  // namespace
}  // namespace conclave::torture
