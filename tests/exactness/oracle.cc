#include "tests/exactness/oracle.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "base/check.h"

namespace conclave {
namespace {

// ln(sum of exp) of a row of golden logits.
double LogSum(std::span<const float> logits) {
  const float max = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit - max));
  return static_cast<double>(max) + std::log(sum);
}

// Whether every MoE layer chose the golden's experts for token t.
bool ExpectRoutesAt(const Oracle& oracle, const GoldenPrompt& prompt, std::size_t t,
                    const TestOutput& got, const OracleBounds& bounds, OracleTally& tally) {
  const auto layers = static_cast<std::size_t>(oracle.golden.moe_layers);
  const auto topk = static_cast<std::size_t>(oracle.golden.topk);
  const auto tokens = static_cast<std::size_t>(prompt.tokens());
  for (std::size_t l = 0; l < layers; ++l) {
    const auto* want = prompt.routes.data() + (l * tokens + t) * topk;
    const auto* ours = got.routed.data() + (t * layers + l) * topk;
    // As sets: the gap does not decide the order among the winners.
    const bool equal = std::set<int>(ours, ours + topk) == std::set<int>(want, want + topk);
    const bool decided = !prompt.router_gap.empty() &&
                         static_cast<double>(prompt.router_gap[l * tokens + t]) > bounds.gap[l];
    if (decided) {
      EXPECT_TRUE(equal) << "token " << t << " MoE layer " << l << ": other experts, gap "
                         << prompt.router_gap[l * tokens + t];
      ++tally.routes;
    }
    // Above another choice the row itself is another one: nothing more is said about it.
    if (!equal) return false;
  }
  return true;
}

void ExpectLogprobs(const Oracle& oracle, const GoldenPrompt& prompt, int position,
                    const TokenLogprob& got, const OracleBounds& bounds, OracleTally& tally) {
  const auto vocab = static_cast<std::size_t>(oracle.golden.vocab);
  const std::span<const float> want =
      std::span(prompt.logits)
          .subspan(static_cast<std::size_t>(position - prompt.logits_first) * vocab, vocab);
  const double log_sum = LogSum(want);
  std::vector<TokenId> ids = {got.id};
  std::vector<float> logprobs = {got.logprob};
  for (const TopLogprob& top : got.top) {
    ids.push_back(top.id);
    logprobs.push_back(top.logprob);
  }
  EXPECT_EQ(got.top.size(), static_cast<std::size_t>(kLogprobsMax));
  const std::vector<double> allowed = bounds.Logprobs(want, ids);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const double wanted = static_cast<double>(want[static_cast<std::size_t>(ids[i])]) - log_sum;
    const double error = std::abs(static_cast<double>(logprobs[i]) - wanted);
    EXPECT_LE(error, allowed[i]) << "position " << position << " token " << ids[i];
    tally.worst = std::max(tally.worst, error / allowed[i]);
    tally.widest = std::max(tally.widest, allowed[i]);
    ++tally.logprobs;
  }
}

void ExpectGreedy(const GoldenPrompt& prompt, const std::vector<TokenId>& got,
                  const OracleBounds& bounds, OracleTally& tally) {
  for (std::size_t i = 0; i < prompt.greedy.size(); ++i) {
    if (!(static_cast<double>(prompt.margin[i]) > bounds.Margin(prompt.greedy[i]))) return;
    ASSERT_LT(i, got.size());
    EXPECT_EQ(got[i], prompt.greedy[i]) << "emitted token " << i;
    ++tally.greedy;
  }
}

}  // namespace

Oracle OpenOracle(const std::string& path) {
  absl::StatusOr<Checkpoint> checkpoint = OpenCheckpoint(RepositoryPath(path));
  CONCLAVE_CHECK(checkpoint.ok(), "%s", checkpoint.status().ToString().c_str());
  absl::StatusOr<Golden> golden = ReadGolden(RepositoryPath(path));
  CONCLAVE_CHECK(golden.ok(), "%s", golden.status().ToString().c_str());
  return {*std::move(checkpoint), *std::move(golden)};
}

TestRequest RequestOf(const GoldenPrompt& prompt) {
  TestRequest request{.prompt = prompt.ids, .sampling = {}};
  request.sampling.temperature = 0;
  request.sampling.logprobs = kLogprobsMax;
  request.sampling.prompt_logprobs = kLogprobsMax;
  request.sampling.routed_experts = true;
  request.max_tokens = std::max(1, static_cast<int>(prompt.greedy.size()));
  return request;
}

void ExpectOracle(const Oracle& oracle, const GoldenPrompt& prompt, const TestOutput& got,
                  const OracleBounds& bounds, OracleTally& tally) {
  const auto tokens = static_cast<std::size_t>(prompt.tokens());
  ASSERT_EQ(got.prompt_logprobs.size(), tokens - 1);
  ASSERT_FALSE(got.logprobs.empty());
  if (oracle.golden.moe_layers > 0) {
    ASSERT_GE(got.routed.size(),
              tokens * static_cast<std::size_t>(oracle.golden.moe_layers * oracle.golden.topk));
  }
  for (std::size_t t = 0; t < tokens; ++t) {
    const bool same = ExpectRoutesAt(oracle, prompt, t, got, bounds, tally);
    if (!same) ++tally.rows_rerouted;
    const int position = static_cast<int>(t);
    if (!same || position < prompt.logits_first) continue;
    ExpectLogprobs(oracle, prompt, position,
                   t + 1 == tokens ? got.logprobs[0] : got.prompt_logprobs[t], bounds, tally);
  }
  ExpectGreedy(prompt, got.tokens, bounds, tally);
}

}  // namespace conclave
