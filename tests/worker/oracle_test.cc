// The worker against independent references: log-probabilities, routing and greedy continuations of
// every shipped oracle, with reference kernels and a float32 cache.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "base/numeric.h"
#include "model/edge/checkpoint.h"
#include "tests/support/golden.h"
#include "tests/worker/serve.h"

namespace conclave {
namespace {

constexpr double kLogprobTolerance = 1e-4;
constexpr float kGapDecides = 1e-3f;
constexpr float kMarginDecides = 2e-3f;

// ln(sum of exp) of a row of golden logits.
double LogSum(std::span<const float> logits) {
  const float max = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float logit : logits) {
    sum += Exp(static_cast<double>(logit) - static_cast<double>(max));
  }
  return static_cast<double>(max) + Log(sum);
}

struct Oracle {
  Checkpoint checkpoint;
  Golden golden;
};

Oracle Open(const std::string& path) {
  absl::StatusOr<Checkpoint> checkpoint = OpenCheckpoint(RepositoryPath(path));
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
  absl::StatusOr<Golden> golden = ReadGolden(RepositoryPath(path));
  EXPECT_TRUE(golden.ok()) << golden.status();
  return {*std::move(checkpoint), *std::move(golden)};
}

// The golden row of logits at a position says what the next token's log-probabilities are.
void ExpectLogprobs(const GoldenPrompt& prompt, int vocab, int position, const TokenLogprob& got) {
  const auto at =
      static_cast<std::size_t>(position - prompt.logits_first) * static_cast<std::size_t>(vocab);
  const std::span<const float> want =
      std::span(prompt.logits).subspan(at, static_cast<std::size_t>(vocab));
  const double log_sum = LogSum(want);
  const auto expect = [&](TokenId id, float logprob) {
    const double wanted = static_cast<double>(want[static_cast<std::size_t>(id)]) - log_sum;
    EXPECT_LE(std::abs(static_cast<double>(logprob) - wanted), kLogprobTolerance)
        << "position " << position << " token " << id;
  };
  expect(got.id, got.logprob);
  for (const TopLogprob& top : got.top) expect(top.id, top.logprob);
  ASSERT_EQ(got.top.size(), static_cast<std::size_t>(kLogprobsMax));
}

void ExpectRoutes(const Golden& golden, const GoldenPrompt& prompt,
                  const std::vector<std::uint16_t>& got) {
  const auto layers = static_cast<std::size_t>(golden.moe_layers);
  const auto topk = static_cast<std::size_t>(golden.topk);
  const auto tokens = static_cast<std::size_t>(prompt.tokens());
  ASSERT_GE(got.size(), layers * topk * tokens);
  int decided = 0;
  for (std::size_t t = 0; t < tokens; ++t) {
    for (std::size_t l = 0; l < layers; ++l) {
      if (!prompt.router_gap.empty() && prompt.router_gap[l * tokens + t] <= kGapDecides) continue;
      const auto* want = prompt.routes.data() + (l * tokens + t) * topk;
      const auto* ours = got.data() + (t * layers + l) * topk;
      // As sets: the golden's order among near-equal winners is not decided by the gap.
      EXPECT_EQ(std::set<int>(ours, ours + topk), std::set<int>(want, want + topk))
          << "token " << t << " layer " << l;
      ++decided;
    }
  }
  EXPECT_GT(decided, 0);
}

void ExpectGreedy(const GoldenPrompt& prompt, const std::vector<TokenId>& got) {
  ASSERT_EQ(got.size(), prompt.greedy.size());
  for (std::size_t i = 0; i < got.size() && prompt.margin[i] > kMarginDecides; ++i) {
    EXPECT_EQ(got[i], prompt.greedy[i]) << "emitted token " << i;
  }
}

class OracleTest : public testing::TestWithParam<const char*> {};

TEST_P(OracleTest, OneWorkerAgrees) {
  const Oracle oracle = Open(GetParam());
  const ModelConfig& model = oracle.checkpoint.config;
  TestCluster cluster(model, *oracle.checkpoint.tensors, {});
  std::vector<TestRequest> requests;
  for (const GoldenPrompt& prompt : oracle.golden.prompts) {
    TestRequest request{.prompt = prompt.ids, .sampling = {}};
    request.sampling.temperature = 0;
    request.sampling.logprobs = kLogprobsMax;
    request.sampling.prompt_logprobs = kLogprobsMax;
    request.sampling.routed_experts = true;
    request.max_tokens = std::max(1, static_cast<int>(prompt.greedy.size()));
    requests.push_back(request);
  }
  const std::vector<TestOutput> outputs = Serve(cluster, requests, {.chunk = 48});
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    SCOPED_TRACE("prompt " + std::to_string(i));
    const GoldenPrompt& prompt = oracle.golden.prompts[i];
    for (int r = 0; r < prompt.logits_rows; ++r) {
      const int position = prompt.logits_first + r;
      const auto next = static_cast<std::size_t>(position);
      ExpectLogprobs(prompt, oracle.golden.vocab, position,
                     position + 1 == prompt.tokens() ? outputs[i].logprobs[0]
                                                     : outputs[i].prompt_logprobs[next]);
    }
    if (model.moe_layers > 0) ExpectRoutes(oracle.golden, prompt, outputs[i].routed);
    if (!prompt.greedy.empty()) ExpectGreedy(prompt, outputs[i].tokens);
    for (std::size_t t = 0; t + 1 < prompt.argmax.size(); ++t) {
      EXPECT_EQ(outputs[i].prompt_logprobs[t].top[0].id, prompt.argmax[t]) << "position " << t;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shipped, OracleTest,
                         testing::Values("models/tales-128e", "tests/data/oracles/qwen3moe_128e",
                                         "tests/data/oracles/qwen3moe_16e_numpy",
                                         "tests/data/oracles/qwen3moe_mixed_tied_60e",
                                         "tests/data/oracles/qwen3moe_yarn",
                                         "tests/data/oracles/qwen3_dense_tied"));

}  // namespace
}  // namespace conclave
