#include "worker/spare.h"

#include <gtest/gtest.h>

namespace conclave {
namespace {

Placement EvenAmong(int slots, int replicas) {
  PlacementBuilder placement(2, 12);
  for (int layer = 0; layer < 2; ++layer) {
    for (int expert = 0; expert < 12; ++expert) {
      for (int r = 0; r < replicas; ++r) {
        placement.AddOwner(layer, expert, Slot{(expert + r) % slots});
      }
    }
  }
  return placement.Build();
}

TEST(Spare, TheShareOfALostOneIsDividedAmongTheRest) {
  EXPECT_EQ(ExpertsToSpareFor(EvenAmong(4, 1), Slot{0}), 2u);  // 6 by 3
  EXPECT_EQ(ExpertsToSpareFor(EvenAmong(3, 1), Slot{2}), 4u);  // 8 by 2
  EXPECT_EQ(ExpertsToSpareFor(EvenAmong(12, 1), Slot{5}), 1u) << "rounded up";
}

TEST(Spare, NothingWhereNobodyElseIsOrEachHasTwo) {
  EXPECT_EQ(ExpertsToSpareFor(EvenAmong(1, 1), Slot{0}), 0u);
  EXPECT_EQ(ExpertsToSpareFor(EvenAmong(4, 2), Slot{1}), 0u);
  EXPECT_EQ(ExpertsToSpareFor(Placement(2, 12), Slot{1}), 0u);
}

TEST(Spare, WhoOwnsNothingTakesAShareToo) {
  EXPECT_EQ(ExpertsToSpareFor(EvenAmong(1, 1), Slot{1}), 24u);
  EXPECT_EQ(ExpertsToSpareFor(EvenAmong(2, 1), Slot{2}), 6u);
}

TEST(Spare, TheWorstLossCounts) {
  PlacementBuilder builder(EvenAmong(2, 1));
  for (int expert = 1; expert < 12; expert += 2) builder.AddOwner(1, expert, Slot{2});
  const Placement placement = builder.Build();
  // Slot 0 is alone with 12, slot 1 with 6, slot 2 with none.
  EXPECT_EQ(ExpertsToSpareFor(placement, Slot{2}), 6u);
  EXPECT_EQ(ExpertsToSpareFor(placement, Slot{0}), 3u);
}

}  // namespace
}  // namespace conclave
