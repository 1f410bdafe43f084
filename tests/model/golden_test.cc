// The reference results that oracle tests compare with are read whole and make sense.
#include "tests/support/golden.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "model/edge/checkpoint.h"

namespace conclave {
namespace {

class GoldenTest : public testing::TestWithParam<const char*> {};

void CheckRoutes(const GoldenPrompt& prompt, const Golden& golden, const ModelConfig& config) {
  const auto routes = static_cast<std::size_t>(golden.moe_layers * prompt.tokens() * golden.topk);
  ASSERT_EQ(prompt.routes.size(), routes);
  ASSERT_EQ(prompt.weights.size(), routes);
  for (std::size_t i = 0; i < routes; ++i) {
    ASSERT_GE(prompt.routes[i], 0);
    ASSERT_LT(prompt.routes[i], config.experts);
    ASSERT_GT(prompt.weights[i], 0.0f);
    if (i % static_cast<std::size_t>(golden.topk) != 0) {
      ASSERT_LE(prompt.weights[i], prompt.weights[i - 1]);
    }
  }
  if (prompt.router_gap.empty()) return;
  ASSERT_EQ(prompt.router_gap.size(),
            static_cast<std::size_t>(golden.moe_layers * prompt.tokens()));
}

TEST_P(GoldenTest, AgreesWithTheConfig) {
  const auto config = LoadConfig(RepositoryPath(GetParam()));
  ASSERT_TRUE(config.ok()) << config.status();
  const auto golden = ReadGolden(RepositoryPath(GetParam()));
  ASSERT_TRUE(golden.ok()) << golden.status();
  EXPECT_EQ(golden->vocab, config->vocab);
  EXPECT_EQ(golden->moe_layers, config->moe_layers);
  EXPECT_EQ(golden->topk, config->topk);
  EXPECT_EQ(golden->prompts.size(), 4u);
  for (const GoldenPrompt& prompt : golden->prompts) {
    for (const TokenId id : prompt.ids) ASSERT_TRUE(id >= 0 && id < config->vocab);
    ASSERT_EQ(prompt.logits.size(), static_cast<std::size_t>(prompt.logits_rows * golden->vocab));
    ASSERT_EQ(prompt.logits_first + prompt.logits_rows, prompt.tokens());
    ASSERT_EQ(prompt.greedy.size(), prompt.margin.size());
    const auto last = prompt.logits.end() - golden->vocab;
    const auto best = std::max_element(last, prompt.logits.end()) - last;
    if (!prompt.greedy.empty()) {
      EXPECT_EQ(prompt.greedy[0], best);
    }
    if (!prompt.argmax.empty()) {
      EXPECT_EQ(prompt.argmax.back(), best);
    }
    CheckRoutes(prompt, *golden, *config);
  }
}

INSTANTIATE_TEST_SUITE_P(Shipped, GoldenTest,
                         testing::Values("models/tales-128e", "tests/data/oracles/qwen3moe_128e",
                                         "tests/data/oracles/qwen3moe_16e_numpy",
                                         "tests/data/oracles/qwen3moe_mixed_tied_60e",
                                         "tests/data/oracles/qwen3moe_yarn",
                                         "tests/data/oracles/qwen3_dense_tied"));

TEST(ReadGolden, MissingIsSaid) {
  EXPECT_EQ(ReadGolden(RepositoryPath("tests/data")).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace conclave
