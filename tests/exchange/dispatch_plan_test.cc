#include "exchange/dispatch_plan.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <vector>

#include "base/limits.h"
#include "base/philox.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace conclave {
namespace {

using testing::ElementsAre;

struct Routing {
  int rows, topk, experts, destinations;
  std::vector<std::uint16_t> ids;
  std::vector<std::uint8_t> owner;
  MatrixView<const std::uint16_t> view() const { return {ids.data(), rows, topk, topk}; }
};

Routing Draw(Rng& rng, int rows, int topk, int experts, int destinations) {
  Routing r{rows, topk, experts, destinations, {}, {}};
  for (int e = 0; e < experts; ++e) {
    const auto to = rng.Below(static_cast<std::uint64_t>(destinations));
    r.owner.push_back(static_cast<std::uint8_t>(to));
  }
  for (int row = 0; row < rows; ++row) {
    std::set<std::uint16_t> used;
    while (used.size() < static_cast<std::size_t>(topk)) {
      const auto id = static_cast<std::uint16_t>(rng.Below(static_cast<std::uint64_t>(experts)));
      if (used.insert(id).second) r.ids.push_back(id);
    }
  }
  return r;
}

// The rules of the header, one by one.
void ExpectRight(const Routing& r, const DispatchPlan& plan) {
  std::set<std::pair<int, int>> seen;
  for (int d = 0; d < r.destinations; ++d) {
    std::vector<std::int32_t> rows;
    std::tuple<int, int> previous{-1, -1};
    for (const DispatchEntry& entry : plan.SlotsFor(d)) {
      const std::tuple<int, int> here{entry.row, entry.k};
      EXPECT_LT(previous, here) << "rows rise, and k within a row";
      previous = here;
      EXPECT_EQ(entry.expert, r.ids[static_cast<std::size_t>(entry.row * r.topk + entry.k)]);
      EXPECT_EQ(r.owner[entry.expert], d);
      EXPECT_TRUE(seen.insert({entry.row, entry.k}).second) << "served twice";
      if (rows.empty() || rows.back() != entry.row) rows.push_back(entry.row);
    }
    EXPECT_TRUE(std::ranges::equal(rows, plan.RowsFor(d))) << "each row once, rising";
  }
  EXPECT_EQ(seen.size(), r.ids.size()) << "every choice of every row is served";
}

TEST(DispatchPlan, HoldsForRandomRoutings) {
  Rng rng(11);
  for (int round = 0; round < 300; ++round) {
    const int experts = 1 + static_cast<int>(rng.Below(kExpertsMax));
    const int topk =
        1 + static_cast<int>(rng.Below(static_cast<std::uint64_t>(std::min(kTopkMax, experts))));
    const int destinations = 1 + static_cast<int>(rng.Below(kSlotsMax));
    DispatchPlan plan(40, topk, destinations);
    EXPECT_EQ(plan.destinations(), destinations);
    for (int again = 0; again < 3; ++again) {  // nothing of an earlier build may stay
      const int rows = static_cast<int>(rng.Below(41));
      const Routing r = Draw(rng, rows, topk, experts, destinations);
      plan.Build(r.view(), r.owner);
      ExpectRight(r, plan);
    }
  }
}

TEST(DispatchPlan, KnowsExpertsBeyondEveryWordSize) {
  Routing r{2, 7, 512, 3, {0, 31, 32, 63, 64, 127, 511, 511, 127, 64, 63, 32, 31, 0}, {}};
  r.owner.assign(512, 0);
  for (const int e : {31, 63, 127}) r.owner[static_cast<std::size_t>(e)] = 1;
  r.owner[511] = 2;
  DispatchPlan plan(2, 7, 3);
  plan.Build(r.view(), r.owner);
  ExpectRight(r, plan);
  std::vector<int> experts;
  for (const DispatchEntry& entry : plan.SlotsFor(1)) experts.push_back(entry.expert);
  EXPECT_THAT(experts, ElementsAre(31, 63, 127, 127, 63, 31));
  EXPECT_THAT(plan.RowsFor(2), ElementsAre(0, 1));
}

TEST(DispatchPlan, ReadsStridedRows) {
  const std::vector<std::uint16_t> ids = {5, 1, 99, 2, 5, 99};
  const std::vector<std::uint8_t> owner = {0, 0, 0, 0, 0, 1};
  DispatchPlan plan(2, 2, 2);
  plan.Build({ids.data(), 2, 2, 3}, owner);
  EXPECT_THAT(plan.RowsFor(0), ElementsAre(0, 1));
  EXPECT_THAT(plan.RowsFor(1), ElementsAre(0, 1));
  EXPECT_EQ(plan.SlotsFor(0)[0].k, 1);
  EXPECT_EQ(plan.SlotsFor(1)[0].k, 0);
}

TEST(DispatchPlan, NoRowsIsAPlanToo) {
  DispatchPlan plan(0, 8, 4);
  plan.Build({nullptr, 0, 8, 8}, std::vector<std::uint8_t>(128, 3));
  for (int d = 0; d < 4; ++d) {
    EXPECT_TRUE(plan.SlotsFor(d).empty());
    EXPECT_TRUE(plan.RowsFor(d).empty());
  }
}

TEST(DispatchPlanDeathTest, RefusesAnOwnerOutOfRange) {
  const std::vector<std::uint16_t> ids = {1};
  DispatchPlan plan(1, 1, 2);
  EXPECT_DEATH(plan.Build({ids.data(), 1, 1, 1}, std::vector<std::uint8_t>{0, 2}), "destination 2");
  EXPECT_DEATH(plan.Build({ids.data(), 1, 1, 1}, std::vector<std::uint8_t>{0}), "expert 1 of 1");
}

}  // namespace
}  // namespace conclave
