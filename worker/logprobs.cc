#include "worker/logprobs.h"

#include <algorithm>
#include <limits>

#include "worker/sampler_topk.h"

namespace conclave {
namespace {

float Logprob(float logit, const LogitStats& stats) {
  if (!(logit == logit)) return -std::numeric_limits<float>::infinity();
  // The best of all may be infinite: its distance from itself is zero all the same.
  const double below =
      logit == stats.max ? 0.0 : static_cast<double>(logit) - static_cast<double>(stats.max);
  return static_cast<float>(below - stats.log_sum);
}

}  // namespace

TokenLogprob LogprobOf(const LogprobArgs& args) {
  const auto logprob = [&](TokenId id) {
    return Logprob(args.logits[static_cast<std::size_t>(id)], args.stats);
  };
  TokenLogprob result{.id = args.token, .logprob = logprob(args.token), .top = {}};
  const auto wanted = std::min(static_cast<std::size_t>(args.alternatives), args.logits.size());
  if (wanted == 0) return result;
  const std::size_t count = BestOf(args.logits, args.order.first(wanted));
  result.top.reserve(count);
  for (const TokenId id : args.order.first(count)) result.top.push_back({id, logprob(id)});
  return result;
}

}  // namespace conclave
