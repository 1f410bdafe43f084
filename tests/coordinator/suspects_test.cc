#include "coordinator/suspects.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace conclave {
namespace {

constexpr Micros kWedge = 5'000'000;
constexpr Micros kLink = 1'000'000;
constexpr Micros kEver = 1'000'000'000;  // its thread looks for frames all the time
constexpr Epoch kNow{1, 3};

// A member in exchange `exchange` (0: in none), waiting for some peers, with a step to run.
Pulse PulseOf(int slot, std::uint64_t exchange, std::vector<int> waits_for = {}) {
  Pulse pulse{.slot = Slot{slot}, .link = LinkId{static_cast<std::uint64_t>(slot) + 1}};
  pulse.heartbeat = {.epoch = kNow, .busy = true, .exchange = exchange};
  for (const int peer : waits_for) pulse.heartbeat.waits_for.Add(Slot{peer});
  pulse.looked = kEver;
  return pulse;
}

std::vector<int> Judged(const std::vector<Pulse>& pulses, Micros now, bool serving = true) {
  const SuspectLimits limits{.wedge = kWedge, .link = kLink, .epoch = kNow, .serving = serving};
  std::vector<int> slots;
  for (const Suspect& suspect : JudgePulses(pulses, limits, now)) {
    EXPECT_FALSE(suspect.why.empty());
    slots.push_back(suspect.slot.value);
  }
  return slots;
}

using Slots = std::vector<int>;

TEST(Suspects, AWedgedComputeThreadGoes) {
  const std::vector<Pulse> pulses = {PulseOf(0, 7, {1}), PulseOf(1, 0)};
  EXPECT_EQ(Judged(pulses, kWedge), Slots{});
  EXPECT_EQ(Judged(pulses, kWedge + 1), Slots{1}) << "and not the one that waits for it";
}

TEST(Suspects, AThreadThatStandsStillWithinAnExchangeGoesAndNoHealthyPeer) {
  // 0 stopped before it took the frame of 1; all wait for what 0 sends next.
  Pulse still = PulseOf(0, 7, {1});
  still.looked = 100'000;
  const std::vector<Pulse> pulses = {still, PulseOf(1, 8, {0}), PulseOf(2, 8, {0})};
  EXPECT_EQ(Judged(pulses, 100'000 + kLink), Slots{}) << "it cannot say that 1 sends nothing";
  EXPECT_EQ(Judged(pulses, 100'000 + kLink + 1), Slots{0});
}

TEST(Suspects, TheIdleAndTheSlowAreNotWedged) {
  Pulse idle = PulseOf(0, 0);
  idle.heartbeat.busy = false;
  Pulse slow = PulseOf(1, 0);
  slow.changed = 6'000'000;  // a phase of it ended then
  EXPECT_EQ(Judged({idle, slow}, 10'000'000), Slots{});
}

TEST(Suspects, NobodyIsInAnExchangeWhenStepsAreOver) {
  const std::vector<Pulse> pulses = {PulseOf(0, 7, {1}), PulseOf(1, 7)};
  EXPECT_EQ(Judged(pulses, kWedge + 1, /*serving=*/false), (Slots{0, 1}));
  EXPECT_EQ(Judged(pulses, kWedge, /*serving=*/false), Slots{});
}

TEST(Suspects, WaitingForOneThatIsBehindAccusesNobody) {
  EXPECT_EQ(Judged({PulseOf(0, 7, {1}), PulseOf(1, 6, {2}), PulseOf(2, 0)}, kLink + 1), Slots{});
}

TEST(Suspects, ALinkThatCarriesNothing) {
  const std::vector<Pulse> same = {PulseOf(0, 7, {2}), PulseOf(1, 7, {}), PulseOf(2, 7, {})};
  EXPECT_EQ(Judged(same, kLink), Slots{});
  EXPECT_EQ(Judged(same, kLink + 1), Slots{2}) << "of two, the one that joined last";
  EXPECT_EQ(Judged({PulseOf(0, 7, {1}), PulseOf(1, 9, {0})}, kLink + 1), Slots{1});
  Pulse oldest = PulseOf(2, 7);
  oldest.link = LinkId{0};
  EXPECT_EQ(Judged({PulseOf(0, 7, {2}), PulseOf(1, 7), oldest}, kLink + 1), Slots{0});
}

TEST(Suspects, WhoeverIsOnMostBrokenLinksGoesAlone) {
  // Nothing that 0 sends arrives.
  EXPECT_EQ(Judged({PulseOf(0, 7), PulseOf(1, 7, {0}), PulseOf(2, 7, {0}), PulseOf(3, 7, {0})},
                   kLink + 1),
            Slots{0});
  // 0 hears nobody: one that accuses everyone is alone with it.
  EXPECT_EQ(
      Judged({PulseOf(0, 7, {1, 2, 3}), PulseOf(1, 7), PulseOf(2, 7), PulseOf(3, 7)}, kLink + 1),
      Slots{0});
}

TEST(Suspects, TwoThatAccuseEachOtherAreOneBrokenLink) {
  EXPECT_EQ(Judged({PulseOf(0, 7, {1}), PulseOf(1, 7, {0}), PulseOf(2, 7)}, kLink + 1), Slots{1});
}

TEST(Suspects, APartitionLeavesOneSide) {
  EXPECT_EQ(Judged({PulseOf(0, 7, {2, 3}), PulseOf(1, 7, {2, 3}), PulseOf(2, 7, {0, 1}),
                    PulseOf(3, 7, {0, 1})},
                   kLink + 1),
            (Slots{3, 2}));
}

TEST(Suspects, AsLongAsAnyoneMakesProgressFramesMayBeSlow) {
  Pulse busy = PulseOf(2, 0);
  busy.changed = kLink;
  EXPECT_EQ(Judged({PulseOf(0, 7, {1}), PulseOf(1, 7), busy}, kLink + 1), Slots{});
}

TEST(Suspects, OneThatHasFinishedTheStepHasSentItsFrames) {
  Pulse done = PulseOf(1, 0);
  done.heartbeat.busy = false;
  EXPECT_EQ(Judged({PulseOf(0, 7, {1}), done}, kLink + 1), Slots{}) << "it has not begun";
  done.answered = true;
  EXPECT_EQ(Judged({PulseOf(0, 7, {1}), done}, kLink + 1), Slots{1});
}

TEST(Suspects, WhatWasSaidOfAnotherEpochIsOver) {
  Pulse old = PulseOf(0, 7, {1});
  old.heartbeat.epoch = Epoch(1, 2);
  EXPECT_EQ(Judged({old, PulseOf(1, 7)}, kLink + 1), Slots{});
  EXPECT_EQ(Judged({PulseOf(0, 7, {5}), PulseOf(1, 7)}, kLink + 1), Slots{}) << "nobody is there";
}

TEST(Suspects, OnlyCandidatesAreBlamed) {
  std::vector<BrokenLink> links = {{Slot{0}, Slot{1}}, {Slot{0}, Slot{2}}, {Slot{3}, Slot{1}}};
  const std::vector<Pulse> newcomers = {PulseOf(1, 0), PulseOf(2, 0)};
  const Pulse* worst = MostBroken(links, newcomers);
  ASSERT_NE(worst, nullptr);
  EXPECT_EQ(worst->slot, Slot{1});
  ForgetLinksOf(Slot{1}, links);
  EXPECT_EQ(links, (std::vector<BrokenLink>{{Slot{0}, Slot{2}}}));
  ForgetLinksOf(Slot{2}, links);
  EXPECT_EQ(MostBroken(links, newcomers), nullptr);
}

}  // namespace
}  // namespace conclave
