#include "base/slot_set.h"

#include <gtest/gtest.h>

namespace conclave {
namespace {

TEST(SlotSet, HoldsWhatWasAdded) {
  SlotSet set;
  EXPECT_TRUE(set.empty());
  for (const int value : {0, 63, 64, 127}) set.Add(Slot{value});
  set.Add(Slot{64});
  EXPECT_EQ(set.size(), 4);
  for (int value = 0; value < kSlotsMax; ++value) {
    const bool added = value == 0 || value == 63 || value == 64 || value == 127;
    EXPECT_EQ(set.Has(Slot{value}), added) << value;
  }
}

TEST(SlotSetDeath, AWorkerOutOfRangeIsNoOtherWorker) {
  SlotSet set;
  EXPECT_DEATH(set.Add(Slot{kSlotsMax + 2}), "worker 130");
  EXPECT_DEATH(static_cast<void>(set.Has(Slot{-1})), "worker -1");
}

}  // namespace
}  // namespace conclave
