#include "coordinator/schedule/row_cost.h"

#include <gtest/gtest.h>

namespace conclave {
namespace {

TEST(RowCost, ARowCostsItsProjectionsAndItsContext) {
  const RowCost cost(100);
  EXPECT_EQ(cost.Of(0, 1), 100);
  EXPECT_EQ(cost.Of(100, 1), 200) << "a context of context_per_row positions doubles it";
  EXPECT_EQ(cost.Of(0, 4), 100 + 101 + 102 + 103);
  EXPECT_EQ(cost.OfRows(7), 700);
}

TEST(RowCost, FitIsTheNumberOfRowsThatBeginBeforeTheBudgetIsSpent) {
  const RowCost cost(7);
  for (const std::int32_t begin : {0, 3, 1000}) {
    for (std::int64_t budget = 0; budget < 300; ++budget) {
      std::int32_t expected = 0;
      for (std::int64_t spent = 0; expected < 20 && spent < budget; ++expected) {
        spent += 7 + begin + expected;
      }
      ASSERT_EQ(cost.Fit(begin, 20, budget), expected) << begin << " " << budget;
    }
  }
  EXPECT_EQ(cost.Fit(0, 0, 100), 0);
  EXPECT_EQ(cost.Fit(0, 5, -1), 0);
}

TEST(RowCost, WithoutAnAnswerContextCostsNothing) {
  const RowCost cost(0);
  EXPECT_EQ(cost.Fit(100'000, 512, cost.OfRows(512)), 512);
}

}  // namespace
}  // namespace conclave
