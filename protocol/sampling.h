// How the tokens of a request are chosen. Defaults have been resolved: every value is meant.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/ids.h"

namespace conclave {

struct SamplingParams {
  double temperature = 1.0;  // 0: greedy
  int top_k = 0;             // 0: all
  double top_p = 1.0;        // (0, 1]
  double min_p = 0.0;        // [0, 1]
  double repetition_penalty =
      1.0;  // > 0; divides positive and multiplies negative logits of seen tokens
  double presence_penalty = 0.0;   // subtracted once from emitted tokens
  double frequency_penalty = 0.0;  // subtracted per occurrence among emitted tokens
  std::vector<std::pair<TokenId, float>> logit_bias;  // rising id
  std::uint64_t seed = 0;              // with the position, the whole source of randomness
  std::vector<TokenId> stop_ids;       // rising; empty with ignore_eos
  int min_tokens = 0;                  // stop_ids cannot be sampled before
  std::optional<int> logprobs;         // alternatives per emitted token, 0..kLogprobsMax
  std::optional<int> prompt_logprobs;  // alternatives per prompt token, 0..kLogprobsMax
  bool routed_experts = false;

  friend bool operator==(const SamplingParams&, const SamplingParams&) = default;
};

}  // namespace conclave
