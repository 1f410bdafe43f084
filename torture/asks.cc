#include "torture/asks.h"

#include <algorithm>

#include "base/philox.h"

namespace conclave::torture {
namespace {

int Between(Rng& rng, int low, int high) {
  return low + static_cast<int>(rng.Below(static_cast<std::uint64_t>(high - low + 1)));
}

void DrawSampling(Rng& rng, v1::SamplingOptions& sampling) {
  if (rng.Below(2) == 0) {
    sampling.set_temperature(0);
    return;
  }
  sampling.set_temperature(0.5 + rng.Uniform());
  sampling.set_seed(rng.Next());
  if (rng.Below(2) == 0) sampling.set_top_k(Between(rng, 1, 50));
  if (rng.Below(2) == 0) sampling.set_top_p(0.5 + 0.5 * rng.Uniform());
  if (rng.Below(4) == 0) sampling.set_repetition_penalty(1.0 + 0.3 * rng.Uniform());
  if (rng.Below(4) == 0) sampling.set_presence_penalty(rng.Uniform());
}

}  // namespace

std::vector<v1::GenerateRequest> MakeAsks(const AskArgs& args) {
  std::vector<v1::GenerateRequest> asks(static_cast<std::size_t>(args.count));
  for (std::size_t i = 0; i < asks.size(); ++i) {
    Rng rng(args.seed, 1000 + i);
    v1::GenerateRequest& ask = asks[i];
    const int prompt = std::clamp(Between(rng, 8, 200), 1, std::max(1, args.context / 2));
    const int answer = std::clamp(Between(rng, 16, 160), 1, std::max(1, args.context / 2));
    for (int t = 0; t < prompt; ++t) {
      ask.mutable_token_ids()->add_ids(Between(rng, 0, args.vocab - 1));
    }
    DrawSampling(rng, *ask.mutable_sampling());
    ask.mutable_stop()->set_max_tokens(answer);
    if (rng.Below(4) != 0) ask.mutable_stop()->set_ignore_eos(true);
    if (rng.Below(3) == 0) ask.mutable_output()->set_logprobs(Between(rng, 0, 5));
  }
  return asks;
}

}  // namespace conclave::torture
