#include "worker/sampler_topk.h"

#include <algorithm>

namespace conclave {

std::size_t BestOf(std::span<const float> values, std::span<TokenId> best) {
  const auto before = [values](TokenId a, TokenId b) {
    const float va = values[static_cast<std::size_t>(a)];
    const float vb = values[static_cast<std::size_t>(b)];
    return va > vb || (va == vb && a < b);
  };
  std::size_t count = 0;
  std::size_t v = 0;
  for (; v < values.size() && count < best.size(); ++v) {
    if (values[v] == values[v]) best[count++] = static_cast<TokenId>(v);
  }
  const std::span<TokenId> kept = best.first(count);
  if (v < values.size() && count > 0) {
    // A heap whose front is the worst kept. A later id replaces it only with a larger value.
    std::ranges::make_heap(kept, before);
    float worst = values[static_cast<std::size_t>(kept.front())];
    for (; v < values.size(); ++v) {
      if (!(values[v] > worst)) continue;
      std::ranges::pop_heap(kept, before);
      kept.back() = static_cast<TokenId>(v);
      std::ranges::push_heap(kept, before);
      worst = values[static_cast<std::size_t>(kept.front())];
    }
  }
  std::ranges::sort(kept, before);
  return count;
}

TokenId Ranking::At(std::size_t i) {
  constexpr std::size_t kFirst = 128;
  constexpr std::size_t kGrowth = 16;
  while (i >= asked_ && asked_ < order_.size()) {
    asked_ = std::min(order_.size(), asked_ == 0 ? kFirst : asked_ * kGrowth);
    if (asked_ * kGrowth > order_.size()) asked_ = order_.size();  // a heap that large is no gain
    ranked_ = BestOf(values_, order_.first(asked_));
  }
  return i < ranked_ ? order_[i] : -1;
}

}  // namespace conclave
