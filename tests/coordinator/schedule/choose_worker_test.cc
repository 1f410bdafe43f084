#include "coordinator/schedule/choose_worker.h"

#include <gtest/gtest.h>

#include <vector>

namespace conclave {
namespace {

TEST(ChooseHome, NoOfferIsNoChoice) { EXPECT_FALSE(ChooseHome({}).has_value()); }

TEST(ChooseHome, ThePrefixDraws) {
  const std::vector<HomeOffer> offers = {
      {.slot = Slot{0}, .sequences = 0, .total = 8},
      {.slot = Slot{1}, .hit_blocks = 41, .sequences = 5, .total = 8},
      {.slot = Slot{2}, .hit_blocks = 0, .sequences = 0, .total = 8}};
  EXPECT_EQ(ChooseHome(offers), 1u);
}

TEST(ChooseHome, ButNotForLessThanItCostsToHaveMoreSequences) {
  std::vector<HomeOffer> offers = {
      {.slot = Slot{0}, .sequences = 0, .total = 8},
      {.slot = Slot{1}, .hit_blocks = 39, .sequences = 5, .total = 8},
      {.slot = Slot{2}, .hit_blocks = 1, .sequences = 0, .total = 8}};
  EXPECT_EQ(ChooseHome(offers), 2u);
  offers[2].sequences = 1;
  EXPECT_EQ(ChooseHome(offers), 0u);
}

TEST(ChooseHome, ButNotToAWorkerThatIsMuchBusier) {
  const std::vector<HomeOffer> offers = {
      {.slot = Slot{0}, .sequences = 0, .total = 8},
      {.slot = Slot{1}, .hit_blocks = 999, .sequences = 9, .total = 8}};
  EXPECT_EQ(ChooseHome(offers), 0u);
}

TEST(ChooseHome, ThenFewerSequencesThenTheSmallerPartHeldThenTheLowerSlot) {
  std::vector<HomeOffer> offers = {{.slot = Slot{0}, .sequences = 2, .held = 0, .total = 8},
                                   {.slot = Slot{1}, .sequences = 1, .held = 4, .total = 8},
                                   {.slot = Slot{2}, .sequences = 1, .held = 5, .total = 16},
                                   {.slot = Slot{3}, .sequences = 1, .held = 5, .total = 16}};
  EXPECT_EQ(ChooseHome(offers), 2u);
}

}  // namespace
}  // namespace conclave
