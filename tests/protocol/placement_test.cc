#include "protocol/placement.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace conclave {
namespace {

using ::testing::ElementsAre;

TEST(Placement, OwnersRiseAndAreFoundAgain) {
  Placement placement(2, 512);
  for (const int expert : {0, 31, 32, 63, 64, 127, 511}) {
    placement.AddOwner(1, expert, Slot{127});
    placement.AddOwner(1, expert, Slot{0});
    placement.AddOwner(1, expert, Slot{64});
    EXPECT_THAT(placement.Owners(1, expert), ElementsAre(0, 64, 127));
    EXPECT_TRUE(placement.Owners(0, expert).empty());
  }
  EXPECT_THAT(placement.OwnedBy(1, Slot{64}), ElementsAre(0, 31, 32, 63, 64, 127, 511));
  EXPECT_FALSE(placement.Complete());
}

TEST(Placement, HomeServesItselfAndReplicasShare) {
  Placement placement(1, 4);
  for (int expert = 0; expert < 4; ++expert) {
    placement.AddOwner(0, expert, Slot{1});
    placement.AddOwner(0, expert, Slot{2});
  }
  EXPECT_TRUE(placement.Complete());
  EXPECT_EQ(placement.ServerFor(0, 0, Slot{2}), Slot{2});
  EXPECT_NE(placement.ServerFor(0, 0, Slot{5}), placement.ServerFor(0, 1, Slot{5}));
  EXPECT_EQ(placement.ServerFor(0, 3, Slot{5}), placement.ServerFor(0, 3, Slot{5}));
}

TEST(Placement, FlatFormAndDigestSayTheSame) {
  Placement placement(3, 8);
  for (int layer = 0; layer < 3; ++layer) {
    for (int expert = 0; expert < 8; ++expert)
      placement.AddOwner(layer, expert, Slot{(layer + expert) % 3});
  }
  const Placement copy = Placement::FromFlat(3, 8, placement.flat());
  EXPECT_EQ(copy, placement);
  EXPECT_EQ(copy.Digest(), placement.Digest());
  placement.AddOwner(0, 0, Slot{9});
  EXPECT_NE(copy.Digest(), placement.Digest());
}

}  // namespace
}  // namespace conclave
