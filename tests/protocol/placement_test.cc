#include "protocol/placement.h"

#include <map>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace conclave {
namespace {

using ::testing::ElementsAre;

TEST(Placement, OwnersRiseAndAreFoundAgain) {
  PlacementBuilder builder(2, 512);
  for (const int expert : {0, 31, 32, 63, 64, 127, 511}) {
    builder.AddOwner(1, expert, Slot{127});
    builder.AddOwner(1, expert, Slot{0});
    builder.AddOwner(1, expert, Slot{64});
  }
  const Placement placement = builder.Build();
  for (const int expert : {0, 31, 32, 63, 64, 127, 511}) {
    EXPECT_THAT(placement.Owners(1, expert), ElementsAre(0, 64, 127));
    EXPECT_TRUE(placement.Owners(0, expert).empty());
  }
  for (const int slot : {0, 64, 127}) {
    EXPECT_THAT(placement.OwnedBy(1, Slot{slot}), ElementsAre(0, 31, 32, 63, 64, 127, 511));
    EXPECT_TRUE(placement.OwnedBy(0, Slot{slot}).empty());
    EXPECT_EQ(placement.CountOwnedBy(Slot{slot}), 7);
  }
  EXPECT_TRUE(placement.OwnedBy(1, Slot{63}).empty());
  EXPECT_EQ(placement.CountOwnedBy(Slot{1}), 0);
  EXPECT_FALSE(placement.Complete());
}

TEST(Placement, CompleteWhenTheLastExpertHasAnOwner) {
  PlacementBuilder builder(2, 2);
  for (int at = 0; at < 4; ++at) {
    EXPECT_FALSE(builder.Build().Complete());
    builder.AddOwner(at / 2, at % 2, Slot{at});
  }
  EXPECT_TRUE(builder.Build().Complete());
  builder.ClearOwners(0, 1);
  EXPECT_FALSE(builder.Build().Complete());
  EXPECT_TRUE(Placement(0, 0).Complete()) << "a dense model";
}

TEST(Placement, ACopyStaysWhatItWas) {
  PlacementBuilder builder(1, 1);
  builder.AddOwner(0, 0, Slot{3});
  const Placement first = builder.Build();
  const Placement copy = first;
  builder.AddOwner(0, 0, Slot{4});
  EXPECT_THAT(copy.Owners(0, 0), ElementsAre(3));
  EXPECT_EQ(copy, first);
  EXPECT_NE(builder.Build(), first);
}

TEST(Placement, HomeServesItselfAndWithoutSharesOwnersTakeTurns) {
  PlacementBuilder builder(1, 4);
  for (int expert = 0; expert < 4; ++expert) {
    builder.AddOwner(0, expert, Slot{1});
    builder.AddOwner(0, expert, Slot{2});
  }
  const Placement placement = builder.Build();
  EXPECT_TRUE(placement.Complete());
  EXPECT_EQ(placement.ServerFor(0, 0, Slot{2}), Slot{2});
  EXPECT_NE(placement.ServerFor(0, 0, Slot{5}), placement.ServerFor(0, 1, Slot{5}));
  EXPECT_EQ(placement.ServerFor(0, 3, Slot{5}), placement.ServerFor(0, 3, Slot{5}));
}

// The shares are counts of homes: each owner serves exactly as many as its share says.
TEST(Placement, EachOwnerServesAsManyHomesAsItsShare) {
  SlotSet homes;
  for (const int home : {0, 2, 3, 7, 64, 65, 66, 100, 126, 127}) homes.Add(Slot{home});
  PlacementBuilder builder(3, 5);
  builder.SetHomes(homes);
  // Slot 5 is no home: nine of the ten homes own no copy.
  const std::vector<std::uint8_t> shares = {2, 6, 0};
  for (int layer = 0; layer < 3; ++layer) {
    for (int expert = 0; expert < 5; ++expert) {
      for (const int owner : {3, 5, 127}) builder.AddOwner(layer, expert, Slot{owner});
      builder.SetShares(layer, expert, shares);
    }
  }
  const Placement placement = builder.Build();
  for (int layer = 0; layer < 3; ++layer) {
    for (int expert = 0; expert < 5; ++expert) {
      std::map<int, int> served;
      for (int home = 0; home < kSlotsMax; ++home) {
        if (homes.Has(Slot{home})) ++served[placement.ServerFor(layer, expert, Slot{home}).value];
      }
      EXPECT_EQ(served[3], 1 + 2);
      EXPECT_EQ(served[5], 6);
      EXPECT_EQ(served[127], 1) << "only itself";
    }
  }
}

TEST(Placement, PackedFormAndDigestSayTheSame) {
  PlacementBuilder builder(3, 8);
  for (int layer = 0; layer < 3; ++layer) {
    for (int expert = 0; expert < 8; ++expert)
      builder.AddOwner(layer, expert, Slot{(layer + expert) % 3});
  }
  builder.AddOwner(2, 7, Slot{127});
  const Placement placement = builder.Build();
  EXPECT_EQ(placement.packed().owners.size(), 25u);
  EXPECT_TRUE(placement.packed().shares.empty()) << "nobody has a share";
  const auto copy = Placement::Unpack(3, 8, placement.packed());
  ASSERT_TRUE(copy.ok()) << copy.status();
  EXPECT_EQ(*copy, placement);
  EXPECT_EQ(copy->Digest(), placement.Digest());

  const std::vector<std::uint8_t> shares = {1, 3};
  builder.SetShares(2, 7, shares);
  const Placement shared = builder.Build();
  EXPECT_NE(shared, placement);
  EXPECT_NE(shared.Digest(), placement.Digest()) << "the shares are part of it";
  EXPECT_EQ(*Placement::Unpack(3, 8, shared.packed()), shared);

  SlotSet homes;
  homes.Add(Slot{127});
  builder.SetHomes(homes);
  EXPECT_NE(builder.Build().Digest(), shared.Digest()) << "and the homes";
  EXPECT_EQ(*Placement::Unpack(3, 8, builder.Build().packed()), builder.Build());
}

TEST(Placement, MalformedBytesAreRefused) {
  const auto unpack = [](std::string owners, std::string shares = {}, std::string homes = {}) {
    return Placement::Unpack(
        1, 2, {.owners = std::move(owners), .shares = std::move(shares), .homes = std::move(homes)});
  };
  EXPECT_TRUE(unpack("\x7f\x7f").ok()) << "no owner at all";
  EXPECT_TRUE(unpack("\x01\x82\x83", "\x01\x02", "\x05").ok());
  EXPECT_TRUE(unpack("\x01\xff\x80").ok()) << "slot 127 as the last owner";
  for (const auto& bad : {
           unpack("\x81"),                              // one expert is missing
           unpack("\x81\x82\x83"),                      // one too many
           unpack("\x01\x81\x82"),                      // twice the same owner
           unpack("\x02\x81\x82"),                      // falling
           unpack("\x01\x02\x03\x04\x85\x82"),          // five owners
           unpack("\x01\x7f\x82"),                      // an end that is none
           unpack("\x01\x82\x83", "\x01"),              // a share is missing
           unpack("\x01\x82\x83", "\x01\x02\x03"),      // a share too many
           unpack("\x81\x82", "", "\x80"),              // no slot
       }) {
    EXPECT_EQ(bad.status().code(), absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace conclave
