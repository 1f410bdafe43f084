// Log-probabilities of the model's own distribution: before temperature, penalties and bias.
#pragma once

#include <span>

#include "kernels/logits/logit_stats.h"
#include "protocol/plan.h"

namespace conclave {

struct LogprobArgs {
  std::span<const float> logits;  // [vocab] as the model gave them
  LogitStats stats;               // of this row
  TokenId token = 0;
  int alternatives = 0;
  std::span<TokenId> order;  // [vocab] scratch
};
// (logit - max) - log_sum, in double, rounded once. NaN has -inf.
TokenLogprob LogprobOf(const LogprobArgs& args);

}  // namespace conclave
