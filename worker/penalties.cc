#include "worker/penalties.h"

#include <algorithm>
#include <limits>

namespace conclave {
namespace {

bool Penalises(const SamplingParams& params) {
  return params.repetition_penalty != 1.0 || params.presence_penalty != 0.0 ||
         params.frequency_penalty != 0.0;
}

void AddBias(const SamplingParams& params, std::span<float> logits) {
  for (const auto& [id, bias] : params.logit_bias) {
    float& logit = logits[static_cast<std::size_t>(id)];
    logit = static_cast<float>(static_cast<double>(logit) + static_cast<double>(bias));
  }
}

// Walks the tokens three times: to count, to penalise each different one once, to clean up.
void Penalise(const AdjustArgs& args, std::span<float> logits) {
  const SamplingParams& params = args.params;
  const auto prompt = static_cast<std::size_t>(args.prompt_tokens);
  for (const TokenId token : args.tokens.subspan(prompt)) {
    ++args.room.counts[static_cast<std::size_t>(token)];
  }
  for (const TokenId token : args.tokens) {
    const auto id = static_cast<std::size_t>(token);
    if (args.room.seen[id] != 0) continue;
    args.room.seen[id] = 1;
    const double before = static_cast<double>(logits[id]);
    double logit =
        before > 0 ? before / params.repetition_penalty : before * params.repetition_penalty;
    const std::int32_t count = args.room.counts[id];
    if (count > 0) logit -= params.frequency_penalty * count + params.presence_penalty;
    logits[id] = static_cast<float>(logit);
  }
  for (const TokenId token : args.tokens) {
    args.room.counts[static_cast<std::size_t>(token)] = 0;
    args.room.seen[static_cast<std::size_t>(token)] = 0;
  }
}

}  // namespace

std::span<const float> AdjustLogits(const AdjustArgs& args) {
  const SamplingParams& params = args.params;
  const std::int64_t emitted = static_cast<std::int64_t>(args.tokens.size()) - args.prompt_tokens;
  const bool masks = emitted < params.min_tokens && !params.stop_ids.empty();
  if (params.logit_bias.empty() && !Penalises(params) && !masks) return args.logits;
  const std::span<float> logits = args.room.adjusted;
  std::ranges::copy(args.logits, logits.begin());
  AddBias(params, logits);
  if (Penalises(params)) Penalise(args, logits);
  for (const TokenId id : masks ? std::span(params.stop_ids) : std::span<const TokenId>()) {
    if (id < 0 || static_cast<std::size_t>(id) >= logits.size()) continue;
    logits[static_cast<std::size_t>(id)] = -std::numeric_limits<float>::infinity();
  }
  return logits;
}

}  // namespace conclave
