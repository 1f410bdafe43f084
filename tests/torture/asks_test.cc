#include "torture/asks.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace conclave::torture {
namespace {

TEST(MakeAsks, IsAFunctionOfTheSeed) {
  const AskArgs args = {.seed = 4, .count = 20, .vocab = 4096, .context = 8192};
  const auto same = [](const v1::GenerateRequest& a, const v1::GenerateRequest& b) {
    return a.SerializeAsString() == b.SerializeAsString();
  };
  AskArgs other = args;
  other.seed = 5;
  EXPECT_TRUE(std::ranges::equal(MakeAsks(args), MakeAsks(args), same));
  EXPECT_FALSE(std::ranges::equal(MakeAsks(args), MakeAsks(other), same));
}

TEST(MakeAsks, OfEveryKindAndEachRepeatable) {
  int greedy = 0, sampled = 0, logprobs = 0, ends_early = 0;
  for (const v1::GenerateRequest& ask :
       MakeAsks({.seed = 1, .count = 200, .vocab = 100, .context = 8192})) {
    EXPECT_GE(ask.token_ids().ids_size(), 8);
    EXPECT_LE(ask.token_ids().ids_size(), 200);
    EXPECT_TRUE(std::ranges::all_of(ask.token_ids().ids(), [](int id) { return id < 100; }));
    EXPECT_GE(ask.stop().max_tokens(), 16);
    EXPECT_LE(ask.stop().max_tokens(), 160);
    ASSERT_TRUE(ask.sampling().has_temperature());
    const bool is_greedy = ask.sampling().temperature() == 0;
    EXPECT_TRUE(is_greedy || ask.sampling().has_seed());
    (is_greedy ? greedy : sampled) += 1;
    logprobs += ask.output().has_logprobs() ? 1 : 0;
    ends_early += ask.stop().ignore_eos() ? 0 : 1;
  }
  for (const int count : {greedy, sampled, logprobs, ends_early}) EXPECT_GT(count, 20);
}

TEST(MakeAsks, FitsASmallContext) {
  for (const v1::GenerateRequest& ask :
       MakeAsks({.seed = 1, .count = 50, .vocab = 10, .context = 40})) {
    EXPECT_LE(ask.token_ids().ids_size() + ask.stop().max_tokens(), 40);
  }
}

}  // namespace
}  // namespace conclave::torture
