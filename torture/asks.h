// The requests that a torture asks, again and again: a pure function of the seed.
#pragma once

#include <cstdint>
#include <vector>

#include "conclave/v1/inference.pb.h"

namespace conclave::torture {

struct AskArgs {
  std::uint64_t seed = 1;
  int count = 64;
  int vocab = 0;
  int context = 0;
};
// Prompts of 8 to 200 tokens, answers of 16 to 160, shortened to the context; greedy and sampled
// (each with a seed of its own), some with logprobs, most to their full length. No request_id.
std::vector<v1::GenerateRequest> MakeAsks(const AskArgs& args);

}  // namespace conclave::torture
