// What a request changes about a row of logits before a token is chosen.
#pragma once

#include <cstdint>
#include <span>

#include "protocol/sampling.h"
#include "worker/workspace.h"

namespace conclave {

struct AdjustArgs {
  std::span<const float> logits;  // [vocab]
  const SamplingParams& params;
  std::span<const TokenId> tokens;  // prompt, then emitted
  std::int32_t prompt_tokens = 0;
  SamplerRoom& room;
};

// In this order, each in double and rounded to float: logit_bias added; repetition penalty on every
// token that occurs in prompt or emitted (positive logits divided, others multiplied); frequency
// penalty times occurrences, and presence penalty once, subtracted for emitted tokens. Last, stop
// ids become -inf while fewer than min_tokens are emitted. A pure function of the tokens: there is
// no state to lose when a sequence moves. Returns `logits` itself when nothing is asked for, else
// room.adjusted.
std::span<const float> AdjustLogits(const AdjustArgs& args);

}  // namespace conclave
