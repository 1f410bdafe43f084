// The sampler against one that sorts everything, and against arithmetic done by hand.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/numeric.h"
#include "base/philox.h"
#include "worker/choose_token.h"
#include "worker/logprobs.h"
#include "worker/penalties.h"
#include "worker/sampler_topk.h"

namespace conclave {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Room of a size, as the workspace would hand it out.
struct Room {
  explicit Room(std::size_t vocab)
      : order(vocab),
        adjusted(vocab),
        scaled(vocab),
        counts(vocab),
        seen(vocab),
        slices((vocab + kLogitSlice - 1) / kLogitSlice) {
    room = {order, adjusted, scaled, counts, seen, slices};
  }
  std::vector<TokenId> order;
  std::vector<float> adjusted, scaled;
  std::vector<std::int32_t> counts;
  std::vector<std::uint8_t> seen;
  std::vector<LogitSliceStats> slices;
  SamplerRoom room;
};

LogitStats StatsOf(std::span<const float> logits) {
  Room room(logits.size());
  const auto vocab = static_cast<std::int64_t>(logits.size());
  const auto slices = static_cast<std::int64_t>(room.slices.size());
  std::atomic<std::int64_t> ticket{0};
  kRefKernels.logit_stats({.logits = {logits.data(), 1, vocab, vocab},
                           .slices = {room.slices.data(), 1, slices, slices}},
                          Lane{0, 1, &ticket});
  return FinishLogitStats(room.slices);
}

struct Ask {
  std::vector<float> logits;
  SamplingParams params;
  std::vector<TokenId> tokens = {0};
  int prompt_tokens = 1;
  int position = 1;
};

TokenId Choose(const Ask& ask) {
  Room room(ask.logits.size());
  const TokenId token = ChooseToken({.logits = ask.logits,
                                     .stats = StatsOf(ask.logits),
                                     .params = ask.params,
                                     .tokens = ask.tokens,
                                     .prompt_tokens = ask.prompt_tokens,
                                     .position = ask.position,
                                     .logit_stats = kRefKernels.logit_stats,
                                     .room = room.room});
  // The room is clean again for the next row.
  EXPECT_EQ(std::ranges::count(room.counts, 0), std::ssize(room.counts));
  EXPECT_EQ(std::ranges::count(room.seen, 0), std::ssize(room.seen));
  return token;
}

// All ids in the total order; NaN left out.
std::vector<TokenId> Sorted(const std::vector<float>& logits) {
  std::vector<TokenId> ids;
  for (std::size_t v = 0; v < logits.size(); ++v) {
    if (!std::isnan(logits[v])) ids.push_back(static_cast<TokenId>(v));
  }
  std::ranges::stable_sort(ids, [&](TokenId a, TokenId b) {
    return logits[static_cast<std::size_t>(a)] > logits[static_cast<std::size_t>(b)];
  });
  return ids;
}

// The definition in choose_token.h, written down without any thought of speed. No penalties.
TokenId ChooseBySorting(const Ask& ask) {
  const SamplingParams& params = ask.params;
  std::vector<TokenId> ids = Sorted(ask.logits);
  if (ids.empty()) return 0;
  const auto scale = static_cast<float>(1.0 / params.temperature);
  const auto x = [&](TokenId id) { return ask.logits[static_cast<std::size_t>(id)] * scale; };
  const float max = x(ids[0]);
  const auto below = [&](TokenId id) {
    return x(id) == max ? 0.0 : static_cast<double>(x(id)) - static_cast<double>(max);
  };
  std::erase_if(ids, [&](TokenId id) { return !(below(id) >= Log(params.min_p)); });
  double total = 0;
  if (params.top_k > 0 && params.top_k < static_cast<int>(ask.logits.size())) {
    if (static_cast<int>(ids.size()) > params.top_k)
      ids.resize(static_cast<std::size_t>(params.top_k));
    for (const TokenId id : ids) total += Exp(below(id));
  } else {
    std::vector<float> scaled(ask.logits.size(), -kInf);
    for (const TokenId id : ids) scaled[static_cast<std::size_t>(id)] = x(id);
    total = Exp(StatsOf(scaled).log_sum);
  }
  if (params.top_p < 1) {
    double sum = 0;
    std::size_t kept = 0;
    while (kept < ids.size() && sum < params.top_p * total) sum += Exp(below(ids[kept++]));
    ids.resize(kept);
    total = sum;
  }
  const double target = UniformAt(params.seed, static_cast<std::uint64_t>(ask.position)) * total;
  double sum = 0;
  for (const TokenId id : ids) {
    sum += Exp(below(id));
    if (sum > target) return id;
  }
  return ids.back();
}

enum class Kind { kRandom, kTied, kFlat, kHoles };

std::vector<float> Logits(Kind kind, std::size_t vocab, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<float> logits(vocab);
  for (float& logit : logits) {
    const double normal = rng.Normal() * 4;
    logit = static_cast<float>(kind == Kind::kTied ? std::round(normal) : normal);
    if (kind == Kind::kFlat) logit = 1.5f;
    if (kind == Kind::kHoles && rng.Below(3) == 0) logit = rng.Below(2) == 0 ? kNan : -kInf;
  }
  return logits;
}

TEST(ChooseToken, AgreesWithSortingEverything) {
  const SamplingParams variants[] = {
      {.temperature = 1},
      {.temperature = 0.7, .top_k = 20, .top_p = 0.8},
      {.temperature = 2.5, .top_p = 0.95},
      {.temperature = 1, .top_p = 0.05},
      {.temperature = 0.6, .top_k = 1000, .min_p = 0.01},
      {.temperature = 1.3, .min_p = 0.2},
      {.temperature = 30, .top_p = 0.999},
      {.temperature = 1, .top_k = 1},
      {.temperature = 0.9, .top_k = 100000, .top_p = 0.5, .min_p = 0.02},
  };
  for (const Kind kind : {Kind::kRandom, Kind::kTied, Kind::kFlat, Kind::kHoles}) {
    for (const std::size_t vocab : {3u, 300u, 20000u}) {
      Ask ask{.logits = Logits(kind, vocab, vocab), .params = {}};
      for (const SamplingParams& variant : variants) {
        ask.params = variant;
        for (int i = 0; i < 12; ++i) {
          ask.params.seed = static_cast<std::uint64_t>(i);
          ask.position = 1 + i * 3;
          ASSERT_EQ(Choose(ask), ChooseBySorting(ask))
              << "kind " << static_cast<int>(kind) << " vocab " << vocab << " temperature "
              << variant.temperature << " draw " << i;
        }
      }
    }
  }
}

TEST(BestOf, IsThePrefixOfTheFullOrder) {
  for (const Kind kind : {Kind::kRandom, Kind::kTied, Kind::kFlat, Kind::kHoles}) {
    const std::vector<float> logits = Logits(kind, 5000, 3);
    const std::vector<TokenId> sorted = Sorted(logits);
    for (const std::size_t wanted : {1u, 2u, 128u, 4999u, 5000u}) {
      std::vector<TokenId> best(wanted);
      const std::size_t count = BestOf(logits, best);
      ASSERT_EQ(count, std::min(wanted, sorted.size()));
      EXPECT_TRUE(std::equal(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(count),
                             best.begin()));
    }
    std::vector<TokenId> order(logits.size());
    Ranking ranking(logits, order);
    for (std::size_t i = 0; i < sorted.size(); ++i) ASSERT_EQ(ranking.At(i), sorted[i]);
    EXPECT_EQ(ranking.At(sorted.size()), -1);
  }
}

// Log-probabilities of 0.5, 0.3, 0.15, 0.05.
std::vector<float> FourTokens() {
  std::vector<float> logits;
  for (const double p : {0.15, 0.5, 0.05, 0.3}) logits.push_back(static_cast<float>(Log(p)));
  return logits;
}

// How often each of four tokens is drawn, in 10,000 positions.
std::vector<double> Shares(const SamplingParams& params) {
  Ask ask{.logits = FourTokens(), .params = params};
  std::vector<double> shares(4);
  for (ask.position = 1; ask.position <= 10000; ++ask.position) {
    shares[static_cast<std::size_t>(Choose(ask))] += 1e-4;
  }
  return shares;
}

void ExpectShares(const SamplingParams& params, const std::vector<double>& want) {
  const std::vector<double> got = Shares(params);
  for (std::size_t i = 0; i < 4; ++i) {
    // Five standard deviations of a share; the draws are fixed by the seed.
    const double slack = 5 * std::sqrt(want[i] * (1 - want[i]) / 10000) + 1e-9;
    EXPECT_LE(std::abs(got[i] - want[i]), slack) << "token " << i << " got " << got[i];
  }
}

TEST(ChooseToken, DrawsByProbability) {
  ExpectShares({.seed = 5}, {0.15, 0.5, 0.05, 0.3});
  ExpectShares({.top_k = 2, .seed = 6}, {0, 0.625, 0, 0.375});
  ExpectShares({.top_p = 0.6, .seed = 7}, {0, 0.625, 0, 0.375});
  ExpectShares({.min_p = 0.29, .seed = 8}, {0.15 / 0.95, 0.5 / 0.95, 0, 0.3 / 0.95});
  ExpectShares({.min_p = 0.31, .seed = 9}, {0, 0.625, 0, 0.375});
  // top_p counts what top_k left: 0.625 alone reaches 0.6.
  ExpectShares({.top_k = 2, .top_p = 0.6, .seed = 10}, {0, 1, 0, 0});
  // At temperature 1/2 probabilities are squared: min_p compares after it, 0.36 for the second.
  ExpectShares({.temperature = 0.5, .min_p = 0.3, .seed = 11}, {0, 0.25 / 0.34, 0, 0.09 / 0.34});
}

TEST(ChooseToken, GreedyTakesTheLowestOfEquals) {
  EXPECT_EQ(Choose({.logits = {1, 3, 3, 2}, .params = {.temperature = 0}}), 1);
  EXPECT_EQ(Choose({.logits = {1, 3, 3, 2}, .params = {.temperature = 1e-7}}), 1);
  EXPECT_EQ(
      Choose({.logits = {1, 3, 3, 2}, .params = {.temperature = 0, .logit_bias = {{3, 1.0f}}}}), 1);
  EXPECT_EQ(
      Choose({.logits = {1, 3, 3, 2}, .params = {.temperature = 0, .logit_bias = {{0, 2.5f}}}}), 0);
}

TEST(ChooseToken, NanIsNeverChosenAndNothingCrashes) {
  for (const double temperature : {0.0, 1.0}) {
    for (const int top_k : {0, 2}) {
      const SamplingParams params{.temperature = temperature, .top_k = top_k};
      EXPECT_EQ(Choose({.logits = {kNan, kNan, 1, kNan}, .params = params}), 2);
      EXPECT_EQ(Choose({.logits = {kNan, kNan, kNan}, .params = params}), 0);
      EXPECT_EQ(Choose({.logits = {1, kInf, 2}, .params = params}), 1);
      EXPECT_EQ(Choose({.logits = {kNan, -kInf, kNan}, .params = params}), 1);
    }
  }
}

TEST(ChooseToken, MinTokensHoldsStopIdsBack) {
  Ask ask{.logits = {1, 5, 2, 0},
          .params = {.temperature = 0, .stop_ids = {1, 2}, .min_tokens = 2},
          .tokens = {3, 3, 0},
          .prompt_tokens = 2};
  EXPECT_EQ(Choose(ask), 0);  // one emitted
  ask.tokens.push_back(0);
  EXPECT_EQ(Choose(ask), 1);  // two
  ask.params.logit_bias = {{1, kInf}};
  ask.tokens.pop_back();
  EXPECT_EQ(Choose(ask), 0);  // no bias brings it back
}

TEST(AdjustLogits, PenaltiesByHand) {
  const std::vector<float> logits = {2, -2, 4, 1, 8};
  const SamplingParams params{.repetition_penalty = 2,
                              .presence_penalty = 0.25,
                              .frequency_penalty = 0.5,
                              .logit_bias = {{2, 2.0f}}};
  // Prompt 0, 1; emitted 2, 2, 1.
  const std::vector<TokenId> tokens = {0, 1, 2, 2, 1};
  Room room(logits.size());
  const auto adjusted = AdjustLogits({.logits = logits,
                                      .params = params,
                                      .tokens = tokens,
                                      .prompt_tokens = 2,
                                      .room = room.room});
  EXPECT_EQ(adjusted[0], 1.0f);                     // repeated from the prompt: halved, no more
  EXPECT_EQ(adjusted[1], -4.0f - 0.5f - 0.25f);     // negative: doubled; emitted once
  EXPECT_EQ(adjusted[2], 6.0f / 2 - 1.0f - 0.25f);  // bias first; emitted twice
  EXPECT_EQ(adjusted[3], 1.0f);
  EXPECT_EQ(adjusted[4], 8.0f);
  // Nothing of it is left in the room.
  EXPECT_EQ(std::ranges::count(room.counts, 0), std::ssize(room.counts));
  EXPECT_EQ(std::ranges::count(room.seen, 0), std::ssize(room.seen));
}

TEST(LogprobOf, IsOfTheModelsOwnDistribution) {
  const std::vector<float> logits = FourTokens();
  std::vector<TokenId> order(4);
  const TokenLogprob got = LogprobOf(
      {.logits = logits, .stats = StatsOf(logits), .token = 2, .alternatives = 3, .order = order});
  EXPECT_NEAR(got.logprob, std::log(0.05), 1e-6);
  ASSERT_EQ(got.top.size(), 3u);
  EXPECT_EQ(got.top[0].id, 1);
  EXPECT_EQ(got.top[1].id, 3);
  EXPECT_EQ(got.top[2].id, 0);
  EXPECT_NEAR(got.top[0].logprob, std::log(0.5), 1e-6);
}

TEST(LogprobOf, NanHasNoProbability) {
  const std::vector<float> logits = {kNan, 1, kNan};
  std::vector<TokenId> order(3);
  const TokenLogprob got = LogprobOf(
      {.logits = logits, .stats = StatsOf(logits), .token = 0, .alternatives = 3, .order = order});
  EXPECT_EQ(got.logprob, -kInf);
  ASSERT_EQ(got.top.size(), 1u);
  EXPECT_EQ(got.top[0].logprob, 0.0f);
}

}  // namespace
}  // namespace conclave
