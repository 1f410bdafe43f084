#include "worker/choose_token.h"

#include <algorithm>
#include <atomic>
#include <limits>

#include "base/numeric.h"
#include "base/philox.h"
#include "worker/penalties.h"
#include "worker/sampler_topk.h"

namespace conclave {
namespace {

constexpr double kGreedyBelow = 1e-5;  // a temperature that vLLM, too, takes for zero

// What is left to draw from: a prefix of the ranking, best first.
struct Field {
  Ranking& ranking;
  std::span<const float> logits;
  float scale = 1;        // 1 / temperature
  float max = 0;          // of the scaled logits
  double log_min_p = 0;   // survivors are at most so far below the best; -inf: all
  std::size_t limit = 0;  // at most this many of them
  double total = 0;       // weight of all survivors

  double Below(float logit) const {
    const float x = logit * scale;
    return x == max ? 0.0 : static_cast<double>(x) - static_cast<double>(max);
  }
  // Weight of the i-th best, 0 when it did not survive.
  double Weight(std::size_t i) const {
    const TokenId id = ranking.At(i);
    if (id < 0) return 0;
    const double below = Below(logits[static_cast<std::size_t>(id)]);
    return below >= log_min_p ? Exp(below) : 0;
  }
};

// With top_k: the survivors are few, and summed in order.
double SumOfPrefix(const Field& field) {
  double sum = 0;
  for (std::size_t i = 0; i < field.limit; ++i) {
    const double weight = field.Weight(i);
    if (weight == 0) break;
    sum += weight;
  }
  return sum;
}

// Without: over the whole row at once, by the kernel that sums logits anyway.
double SumOfAll(const ChooseArgs& args, const Field& field) {
  const auto vocab = static_cast<std::int64_t>(field.logits.size());
  const auto slices = static_cast<std::int64_t>(args.room.slices.size());
  for (std::size_t v = 0; v < field.logits.size(); ++v) {
    args.room.scaled[v] = field.logits[v] * field.scale;
  }
  if (args.params.min_p > 0) {
    for (std::size_t v = 0; v < field.logits.size(); ++v) {
      if (field.Below(field.logits[v]) >= field.log_min_p) continue;
      args.room.scaled[v] = -std::numeric_limits<float>::infinity();
    }
  }
  std::atomic<std::int64_t> ticket{0};
  args.logit_stats({.logits = {args.room.scaled.data(), 1, vocab, vocab},
                    .slices = {args.room.slices.data(), 1, slices, slices}},
                   Lane{0, 1, &ticket});
  return Exp(FinishLogitStats(args.room.slices).log_sum);
}

// The shortest prefix that weighs top_p of the whole: narrows the field to it.
void NarrowToTopP(double top_p, Field& field) {
  const double wanted = top_p * field.total;
  double sum = 0;
  std::size_t i = 0;
  for (; i < field.limit && sum < wanted; ++i) {
    const double weight = field.Weight(i);
    if (weight == 0) break;
    sum += weight;
  }
  field.limit = i;
  field.total = sum;
}

// Which of the field the draw falls on. Rounding may carry it past the end: then the last.
TokenId Draw(const Field& field, double uniform) {
  const double target = uniform * field.total;
  double sum = 0;
  std::size_t last = 0;
  for (std::size_t i = 0; i < field.limit; ++i) {
    const double weight = field.Weight(i);
    if (weight == 0) break;
    last = i;
    sum += weight;
    if (sum > target) break;
  }
  return field.ranking.At(last);
}

TokenId SampleFrom(const ChooseArgs& args, std::span<const float> logits) {
  const SamplingParams& params = args.params;
  const std::size_t vocab = logits.size();
  Ranking ranking(logits, args.room.order);
  const TokenId best = ranking.At(0);
  if (best < 0) return 0;  // not one number
  const bool some = params.top_k > 0 && static_cast<std::size_t>(params.top_k) < vocab;
  Field field{.ranking = ranking, .logits = logits};
  field.scale = static_cast<float>(1.0 / params.temperature);
  field.max = logits[static_cast<std::size_t>(best)] * field.scale;
  field.log_min_p = Log(params.min_p);
  field.limit = some ? static_cast<std::size_t>(params.top_k) : vocab;
  field.total = some ? SumOfPrefix(field) : SumOfAll(args, field);
  if (params.top_p < 1) NarrowToTopP(params.top_p, field);
  return Draw(field, UniformAt(params.seed, static_cast<std::uint64_t>(args.position)));
}

}  // namespace

TokenId ChooseToken(const ChooseArgs& args) {
  const std::span<const float> logits = AdjustLogits({.logits = args.logits,
                                                      .params = args.params,
                                                      .tokens = args.tokens,
                                                      .prompt_tokens = args.prompt_tokens,
                                                      .room = args.room});
  if (args.params.temperature >= kGreedyBelow) return SampleFrom(args, logits);
  if (logits.data() == args.logits.data()) return std::max(args.stats.best, 0);
  TokenId best = 0;
  return BestOf(logits, {&best, 1}) == 0 ? 0 : best;
}

}  // namespace conclave
