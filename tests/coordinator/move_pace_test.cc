#include "coordinator/move_pace.h"

#include <gtest/gtest.h>

#include "base/limits.h"

namespace conclave {
namespace {

constexpr Micros kUsual = 4'000;

MovePace Rested() {
  MovePace pace;
  for (int i = 0; i < 100; ++i) pace.Learn(kUsual, 0);
  return pace;
}

TEST(MovePace, BeginsLowAndRisesWhileNobodyNotices) {
  MovePace pace = Rested();
  EXPECT_EQ(pace.rows(), MovePace::kRowsMin);
  for (int i = 0; i < 100; ++i) pace.Learn(kUsual * 5 / 4, pace.rows());
  EXPECT_EQ(pace.rows(), kStepRowsMax);
}

TEST(MovePace, FallsWhenStepsGetLonger) {
  MovePace pace = Rested();
  for (int i = 0; i < 100; ++i) pace.Learn(kUsual, pace.rows());
  const std::int32_t high = pace.rows();
  pace.Learn(2 * kUsual, high);
  EXPECT_LT(pace.rows(), high);
  for (int i = 0; i < 100; ++i) pace.Learn(2 * kUsual, pace.rows());
  EXPECT_EQ(pace.rows(), MovePace::kRowsMin) << "but a move goes on";
}

// The longest step that stays below half as much again decides: rows settle near it.
TEST(MovePace, SettlesWhereAStepIsHalfAsLongAgain) {
  MovePace pace = Rested();
  const auto length = [](std::int32_t rows) { return kUsual + Micros{rows} * 20; };
  for (int i = 0; i < 200; ++i) pace.Learn(length(pace.rows()), pace.rows());
  EXPECT_GE(pace.rows(), 60);
  EXPECT_LE(pace.rows(), 130);
}

TEST(MovePace, AFewRowsProveNothing) {
  MovePace pace = Rested();
  for (int i = 0; i < 100; ++i) pace.Learn(kUsual, 1);
  EXPECT_EQ(pace.rows(), MovePace::kRowsMin);
}

}  // namespace
}  // namespace conclave
