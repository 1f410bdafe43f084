// The pages that /metrics answers obey the text exposition format line by line. The serializer does
// not escape help texts, so one line break in a help text would break the whole page.
#include <gtest/gtest.h>

#include <map>
#include <regex>
#include <sstream>
#include <string>

#include "coordinator/edge/metrics.h"
#include "worker/edge/step_totals.h"

namespace conclave {
namespace {

void ExpectExposition(const std::string& page) {
  static const std::regex kHelp(R"(# HELP [a-zA-Z_:][a-zA-Z0-9_:]* [^\\]+)");
  static const std::regex kType(
      R"(# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram|summary|untyped))");
  static const std::regex kSample(
      R"(([a-zA-Z_:][a-zA-Z0-9_:]*)(\{([a-zA-Z_][a-zA-Z0-9_]*="([^"\\]|\\["\\n])*",?)*\})? [-+0-9.eEInfNa]+)");
  std::map<std::string, int> types;
  ASSERT_FALSE(page.empty());
  ASSERT_EQ(page.back(), '\n');
  std::istringstream lines(page);
  std::string line, previous;
  std::smatch match;
  while (std::getline(lines, line)) {
    if (std::regex_match(line, match, kType)) {
      EXPECT_EQ(++types[match[1]], 1) << line;
      EXPECT_TRUE(previous.starts_with("# HELP " + match[1].str() + " ")) << "no help: " << line;
    } else {
      EXPECT_TRUE(std::regex_match(line, kHelp) || std::regex_match(line, kSample)) << line;
    }
    previous = line;
  }
  EXPECT_GT(types.size(), 3U);
}

TEST(MetricsPage, OfTheCoordinatorObeysTheFormat) {
  ClusterStatus status;
  status.model.experts = 2;
  status.expert_rows = {3, 1};
  status.not_ready_because = "two\nlines";
  status.phases.resize(std::size(kPhaseNames));
  status.endings.resize(static_cast<std::size_t>(End::kInternal) + 1);
  WorkerStatus worker;
  worker.uuid = "a \"quoted\"\nname\\";
  worker.address = worker.uuid;
  worker.state = "active";
  status.workers = {worker};
  Metrics metrics;
  StreamPart part;
  part.ids = {1};
  part.ending.emplace();
  metrics.Count(part, {.asked_at = 0, .last_token_at = 0, .now = 30'000});
  ExpectExposition(metrics.Render(status));
}

TEST(MetricsPage, OfAWorkerObeysTheFormat) {
  StepTotals totals;
  totals.Add({});
  ExpectExposition(RenderMetrics(totals.Get()));
}

}  // namespace
}  // namespace conclave
