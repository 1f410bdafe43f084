// How a token is chosen from a row of logits. Pure: the same row, parameters, tokens and position
// give the same token on every worker.
//
//   1. adjust (penalties.h): logit bias, repetition, frequency and presence penalties; stop ids are
//      masked before min_tokens
//   2. temperature below 1e-5: the best token, the lowest id on a tie
//   3. x = logit / temperature, w = exp(x - max x)
//   4. min_p: w >= min_p stays; then top_k; then the shortest prefix whose weight reaches top_p of
//      what is left (vLLM's order)
//   5. draw UniformAt(seed, position) times the weight left, walking best first
//
// Order is (adjusted logit descending, id ascending) everywhere. Sums are in double: over a prefix
// in that order, and over the whole vocabulary (no top_k) by the kernel set's logit_stats, in its
// fixed slices. So only the part of the vocabulary that the draw walks is sorted. NaN is never
// chosen; a row without any number gives token 0.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/kernel_set.h"
#include "protocol/sampling.h"
#include "worker/workspace.h"

namespace conclave {

struct ChooseArgs {
  std::span<const float> logits;  // [vocab] as the model gave them
  LogitStats stats;               // of this row
  const SamplingParams& params;
  std::span<const TokenId> tokens;  // of the sequence so far: prompt, then emitted
  std::int32_t prompt_tokens = 0;
  std::int32_t position = 0;  // of the token to choose
  LogitStatsFn logit_stats;
  SamplerRoom& room;
};
TokenId ChooseToken(const ChooseArgs& args);

}  // namespace conclave
