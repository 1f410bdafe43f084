#include "torture/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace conclave::torture {
namespace {

Report Sample() {
  Report report;
  report.requests = 9;
  report.done = {1, 2, 3, 4, 5, 6, 7, 8};
  report.stalls.by_kind.resize(kDeedKinds.size());
  report.stalls.by_kind[static_cast<std::size_t>(DeedKind::kKill)] = {120.5, 300};
  report.stalls.max_ms = 300;
  report.seed = 77;
  return report;
}

// The contract's keys, with the values that belong to them.
TEST(ReportJson, HasTheKeysOfTheContract) {
  const auto json = nlohmann::json::parse(ReportJson(Sample()));
  for (const char* key : {"requests", "failed", "mismatched", "missing_tokens", "repeated_tokens",
                          "kills", "hangs", "joins", "drains", "tokens_per_second", "seed"}) {
    EXPECT_TRUE(json.at(key).is_number()) << key;
  }
  for (const char* key : {"p50", "p99", "max"}) EXPECT_TRUE(json["stall_ms"].contains(key)) << key;
  for (const char* key : {"p50", "p99"}) {
    EXPECT_TRUE(json["steady_inter_token_ms"].contains(key)) << key;
  }
  for (const char* deed : {"kill", "hang", "join", "drain", "wedge", "coordinator", "partition"}) {
    EXPECT_TRUE(json[std::string("stall_after_") + deed + "_ms"].contains("max")) << deed;
  }
  EXPECT_EQ(json["coordinator_kills"], 1);
  EXPECT_EQ(json["partitions"], 2);
  EXPECT_EQ(json["wedges"], 3);
  EXPECT_EQ(json["hangs"], 4);
  EXPECT_EQ(json["kills"], 5);
  EXPECT_EQ(json["drains"], 6);
  EXPECT_EQ(json["joins"], 7);
  EXPECT_EQ(json["bad_joins"], 8);
  EXPECT_EQ(json["stall_after_kill_ms"]["max"], 120.5);
  EXPECT_EQ(json["stall_after_kill_ms"]["overlapping_max"], 300);
  EXPECT_EQ(json["seed"], 77);
}

TEST(Report, IsGoodOnlyWhenNothingWentWrong) {
  EXPECT_TRUE(Sample().good());
  const auto bad = [](auto change) {
    Report report = Sample();
    change(report);
    return !report.good();
  };
  EXPECT_TRUE(bad([](Report& r) { r.failed = 1; }));
  EXPECT_TRUE(bad([](Report& r) { r.mismatched = 1; }));
  EXPECT_TRUE(bad([](Report& r) { r.missing_tokens = 1; }));
  EXPECT_TRUE(bad([](Report& r) { r.repeated_tokens = 1; }));
  EXPECT_TRUE(bad([](Report& r) { r.failures = {"worker 1 died"}; }));
}

TEST(ReportText, NamesDeedsThatWereDone) {
  const std::string text = ReportText(Sample());
  EXPECT_THAT(text, testing::HasSubstr("9 requests"));
  EXPECT_THAT(text, testing::HasSubstr("120.5 ms"));
  EXPECT_THAT(text, testing::HasSubstr("bad-join"));
}

}  // namespace
}  // namespace conclave::torture
