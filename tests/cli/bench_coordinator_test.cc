// `conclave bench coordinator`, small: its keys, and numbers that add up. No time is judged here.
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "run.h"

namespace conclave {
namespace {

RunResult Bench(const std::string& workers, const std::string& streams, bool json) {
  RunAsk ask{.arguments = {"conclave", "bench", "coordinator", "--workers", workers, "--layers",
                           "3", "--experts", "8", "--topk", "2", "--streams", streams, "--prompt",
                           "70", "--generate", "12", "--rows", "64"},
             .input = {},
             .environment = {}};
  if (json) ask.arguments.push_back("--json");
  return RunProgram(ask);
}

TEST(BenchCoordinator, ItsKeysAreThoseOfTheContract) {
  const RunResult run = Bench("8", "32", true);
  ASSERT_EQ(run.code, 0) << run.err << run.out;
  const auto result = nlohmann::json::parse(run.out);
  EXPECT_EQ(result["workers"], 8);
  EXPECT_GT(result["steps"], 12) << "a step for each token, and some for the prompts";
  EXPECT_GT(result["rows_per_step"], 0.0);
  EXPECT_LE(result["rows_per_step"], 8 * 64.0);
  EXPECT_GE(result["worker_fill"]["min"], 0.0);
  EXPECT_LE(result["worker_fill"]["min"], result["worker_fill"]["mean"]);
  EXPECT_LE(result["worker_fill"]["mean"], 1.0);
  EXPECT_GT(result["tokens_per_core_second"], 0.0);
  EXPECT_GT(result["status_us"], 0.0);
  EXPECT_GT(result["rss_bytes"], 1'000'000);
  EXPECT_GE(result["bytes_per_stream"], 0);
  EXPECT_EQ(result["failures"], 0) << result["first_failure"];
  EXPECT_EQ(result["text"], "toy");
  std::map<std::string, std::uint64_t> counts;
  for (const auto& event : result["events"]) {
    counts[event["name"]] = event["count"];
    EXPECT_LE(event["us_p50"], event["us_p99"]) << event;
    EXPECT_LE(event["us_p99"], event["us_max"]) << event;
  }
  EXPECT_EQ(counts["client_asked"], 64u) << "two waves";
  EXPECT_EQ(counts["hello"], 9u) << "the first ones and the one that joins later";
  EXPECT_EQ(counts["drain_asked"], 3u);
  EXPECT_GE(counts["worker_gone"], 4u) << "one is lost, three are drained";
  EXPECT_GE(counts["step_result"], 8 * result["steps"].get<std::uint64_t>());
  for (const char* name : {"heartbeat", "tick", "ready", "loaded", "connected"}) {
    EXPECT_GT(counts[name], 0u) << name;
  }
}

TEST(BenchCoordinator, PeopleGetATableWithTheLimits) {
  const RunResult run = Bench("1", "4", false);
  ASSERT_EQ(run.code, 0) << run.err << run.out;
  for (const char* part : {"1 workers, 4 streams, text toy", "tokens per second of one core",
                           "limits: p99 1000 us, max 5000 us", "step_result"}) {
    EXPECT_NE(run.out.find(part), std::string::npos) << part << " in\n" << run.out;
  }
}

}  // namespace
}  // namespace conclave
