#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

#include "torture/deed.h"

namespace conclave::torture {
namespace {

PlanArgs Args(std::uint64_t seed) {
  return {.seed = seed,
          .workers = 4,
          .workers_max = 8,
          .first = 5'000'000,
          .last = 600'000'000,
          .pause = 500'000,
          .kinds = {kDeedKinds.begin(), kDeedKinds.end()}};
}

std::vector<DeedKind> Kinds(std::string_view text) { return *ParseDeeds(text); }

TEST(ParseDeeds, TakesAListAndNamesWhatIsNone) {
  EXPECT_THAT(*ParseDeeds("hang,kill,hang"),
              testing::ElementsAre(DeedKind::kHang, DeedKind::kKill));
  EXPECT_TRUE(ParseDeeds("")->empty());
  for (const DeedKind kind : kDeedKinds) {
    EXPECT_THAT(*ParseDeeds(NameOf(kind)), testing::ElementsAre(kind));
  }
  const auto bad = ParseDeeds("kill,hug");
  ASSERT_FALSE(bad.ok());
  EXPECT_THAT(std::string(bad.status().message()), testing::HasSubstr("'hug'"));
}

TEST(PlanDeeds, IsAFunctionOfTheSeed) {
  const auto same = [](const Deed& a, const Deed& b) {
    return a.kind == b.kind && a.at == b.at && a.place == b.place && a.length == b.length &&
           a.variant == b.variant;
  };
  const std::vector<Deed> first = PlanDeeds(Args(7)), again = PlanDeeds(Args(7));
  EXPECT_TRUE(std::ranges::equal(first, again, same));
  EXPECT_FALSE(std::ranges::equal(first, PlanDeeds(Args(8)), same));
}

TEST(PlanDeeds, RisesWithinItsTimesAboutAsOftenAsAsked) {
  const PlanArgs args = Args(3);
  const std::vector<Deed> plan = PlanDeeds(args);
  Micros before = args.first;
  std::map<DeedKind, int> count;
  for (const Deed& deed : plan) {
    EXPECT_GT(deed.at, before);
    EXPECT_LT(deed.at, args.last);
    before = deed.at;
    ++count[deed.kind];
  }
  const auto expected = static_cast<double>((args.last - args.first) / args.pause);
  EXPECT_NEAR(static_cast<double>(plan.size()), expected, expected / 5);
  for (const DeedKind kind : kDeedKinds) EXPECT_GT(count[kind], 10) << NameOf(kind);
}

// At any time one worker at least is there, and nothing has been done to it for a while.
TEST(PlanDeeds, AlwaysLeavesOneWhole) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    const PlanArgs args = Args(seed);
    std::vector<bool> there(8);
    std::fill_n(there.begin(), args.workers, true);
    std::vector<Micros> busy_until(8);
    for (const Deed& deed : PlanDeeds(args)) {
      if (deed.place < 0) continue;
      const auto place = static_cast<std::size_t>(deed.place);
      EXPECT_EQ(there[place], deed.kind != DeedKind::kJoin) << "seed " << seed;
      EXPECT_LE(busy_until[place], deed.at) << "seed " << seed;
      there[place] = deed.kind != DeedKind::kDrain || deed.length > 0;
      busy_until[place] = deed.at + deed.length + kSettle;
      int whole = 0;
      for (std::size_t i = 0; i < 8; ++i) whole += there[i] && busy_until[i] <= deed.at ? 1 : 0;
      EXPECT_TRUE(deed.kind == DeedKind::kJoin || whole >= 1) << "seed " << seed;
    }
  }
}

TEST(PlanDeeds, NeverDrainsIntoAnAbsentCoordinator) {
  PlanArgs args = Args(5);
  args.kinds = Kinds("drain,join,coordinator");
  Micros back = 0;
  int kills = 0;
  for (const Deed& deed : PlanDeeds(args)) {
    if (deed.kind == DeedKind::kCoordinator) {
      back = deed.at + deed.length + kSettle;
      ++kills;
    }
    EXPECT_TRUE(deed.kind != DeedKind::kDrain || deed.at >= back);
  }
  EXPECT_GT(kills, 10);
}

TEST(PlanDeeds, WithoutJoinsTheDrainedComeBack) {
  PlanArgs args = Args(6);
  args.kinds = Kinds("drain");
  const std::vector<Deed> plan = PlanDeeds(args);
  ASSERT_GT(plan.size(), 100u);
  for (const Deed& deed : plan) EXPECT_GT(deed.length, 0);
}

TEST(PlanDeeds, OneWorkerAloneIsLeftInPeace) {
  PlanArgs args = Args(6);
  args.workers = args.workers_max = 1;
  args.kinds = Kinds("kill,hang,drain,wedge,partition,join");
  EXPECT_TRUE(PlanDeeds(args).empty());
}

}  // namespace
}  // namespace conclave::torture
