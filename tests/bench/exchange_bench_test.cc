#include "bench/exchange_bench.h"

#include "exchange/backends.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace conclave {
namespace {

using testing::HasSubstr;

TEST(ExchangeBench, MeasuresEveryBackend) {
  for (const std::string& backend : ExchangeBackendsHere()) {
    SCOPED_TRACE(backend);
    const auto result = RunExchangeBench({.backend = backend,
                                          .transports = "",
                                          .participants = 3,
                                          .sizes = {64, 100000},
                                          .repeats = 5});
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_GT(result->copy_gbps, 0);
    ASSERT_EQ(result->rows.size(), 2u);
    EXPECT_EQ(result->rows[0].bytes, 64u);
    for (const ExchangeBenchRow& row : result->rows) {
      EXPECT_GT(row.median_us, 0);
      EXPECT_LE(row.median_us, row.p99_us);
      EXPECT_GT(row.gbps, 0);
      EXPECT_DOUBLE_EQ(row.copy_fraction, row.copy_floor_us / row.median_us);
    }
  }
}

TEST(ExchangeBench, OneParticipantExchangesNothing) {
  const auto result = RunExchangeBench(
      {.backend = "local", .transports = "", .participants = 1, .sizes = {64}, .repeats = 3});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->rows[0].gbps, 0);
}

TEST(ExchangeBench, RefusesWhatItCannotDoAndNamesIt) {
  const auto message = [](const ExchangeBenchAsk& ask) {
    return std::string(RunExchangeBench(ask).status().message());
  };
  EXPECT_THAT(message({.backend = "pigeon", .sizes = {1}}), HasSubstr("backend"));
  EXPECT_THAT(message({.backend = "local", .participants = 0, .sizes = {1}}),
              HasSubstr("participants"));
  EXPECT_THAT(message({.backend = "local", .sizes = {}}), HasSubstr("sizes"));
  EXPECT_THAT(message({.backend = "local", .sizes = {std::size_t{1} << 30}}), HasSubstr("sizes"));
  EXPECT_THAT(message({.backend = "local", .sizes = {1}, .repeats = 0}), HasSubstr("repeats"));
}

// A participant that cannot start ends the run with its words, not with a hang.
TEST(ExchangeBench, AFailingParticipantIsReported) {
  if (ExchangeBackendsHere().back() != "ucx") GTEST_SKIP() << "built without UCX";
  const auto result = RunExchangeBench(
      {.backend = "ucx", .transports = "nonsense", .participants = 2, .sizes = {1}, .repeats = 1});
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("participant 0: "));
}

}  // namespace
}  // namespace conclave
