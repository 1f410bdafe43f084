#include "protocol/rounds.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/limits.h"
#include "base/philox.h"
#include "gtest/gtest.h"

namespace conclave {
namespace {

TEST(Rounds, SlicesCoverEveryRowOnceInOrder) {
  for (const std::int64_t rows : {0, 1, 2, 7, 64, 1000, kWorkerRowsMax}) {
    for (const std::int32_t rounds : {1, 2, 3, 7, 100, kRoundsMax}) {
      std::int64_t next = 0;
      std::int64_t largest = 0;
      for (std::int32_t round = 0; round < rounds; ++round) {
        const RowRange slice = SliceOf(rows, rounds, round);
        ASSERT_EQ(slice.begin, next) << rows << " rows, round " << round << " of " << rounds;
        ASSERT_GE(slice.count, 0);
        next += slice.count;
        largest = std::max(largest, slice.count);
      }
      EXPECT_EQ(next, rows) << rounds;
      EXPECT_EQ(largest, LargestSlice(rows, rounds)) << rows << " rows, " << rounds << " rounds";
    }
  }
}

// What really arrives at a part in a round, counted slice by slice.
std::int64_t MostArrivals(const std::vector<std::int32_t>& rows, std::size_t self,
                          std::int32_t rounds) {
  std::int64_t most = 0;
  for (std::int32_t round = 0; round < rounds; ++round) {
    std::int64_t arrivals = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (i != self) arrivals += SliceOf(rows[i], rounds, round).count;
    }
    most = std::max(most, arrivals);
  }
  return most;
}

bool AllFit(const std::vector<std::int32_t>& rows, const std::vector<std::int32_t>& arrivals_max,
            std::int32_t rounds) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (!RoundsFit(rows, i, rounds, arrivals_max[i])) return false;
  }
  return true;
}

TEST(Rounds, NeverExceedWhatAnyWorkerTakesAndAreTheFewest) {
  Rng rng(7);
  int many = 0;
  for (int example = 0; example < 3000; ++example) {
    const std::size_t parts = 1 + rng.Below(9);
    std::vector<std::int32_t> rows(parts);
    std::vector<std::int32_t> arrivals_max(parts);
    for (std::size_t i = 0; i < parts; ++i) {
      rows[i] = rng.Below(4) == 0 ? 0 : static_cast<std::int32_t>(rng.Below(200));
      arrivals_max[i] = static_cast<std::int32_t>(std::max<std::size_t>(1, parts - 1) +
                                                  rng.Below(rng.Below(2) == 0 ? 8 : 600));
    }
    const std::int32_t rounds = RoundsFor(rows, arrivals_max);
    ASSERT_GE(rounds, 1);
    ASSERT_TRUE(AllFit(rows, arrivals_max, rounds));
    for (std::size_t i = 0; i < parts; ++i) {
      ASSERT_LE(MostArrivals(rows, i, rounds), arrivals_max[i]);
      for (std::int32_t round = 0; round < rounds; ++round) {
        ASSERT_LE(SliceOf(rows[i], rounds, round).count, arrivals_max[i]);
      }
    }
    for (std::int32_t fewer = 1; fewer < rounds; ++fewer) {
      ASSERT_FALSE(AllFit(rows, arrivals_max, fewer)) << fewer << " would do, not " << rounds;
    }
    many += rounds > 1 ? 1 : 0;
  }
  EXPECT_GT(many, 1000);
}

TEST(Rounds, OneIsEnoughWhereEverythingFits) {
  EXPECT_EQ(RoundsFor(std::vector{8192}, std::vector{8192}), 1);
  EXPECT_EQ(RoundsFor(std::vector{512, 512, 0, 512}, std::vector{1536, 1024, 1536, 1024}), 1);
  EXPECT_EQ(RoundsFor(std::vector{512, 512, 1, 512}, std::vector{1536, 1024, 1536, 1024}), 2);
  EXPECT_EQ(RoundsFor({}, {}), 1);
}

// The own slice counts, too: a worker alone has no memory for more at once.
TEST(Rounds, AWorkerAloneTakesItsOwnRowsInSlices) {
  EXPECT_EQ(RoundsFor(std::vector{1000}, std::vector{400}), 3);
}

TEST(Rounds, ALargeClusterOfTheSmallestWorkersStillFits) {
  const std::vector<std::int32_t> rows(kSlotsMax, kWorkerRowsMax);
  const std::vector<std::int32_t> arrivals_max(kSlotsMax, kSlotsMax - 1);
  EXPECT_EQ(RoundsFor(rows, arrivals_max), kRoundsMax);
}

}  // namespace
}  // namespace conclave
