#include <array>

#include "base/limits.h"
#include "base/numeric.h"
#include "kernels/ref_dot.h"
#include "kernels/ref_set.h"

namespace conclave::ref {
namespace {

// The k best so far, best first. Experts arrive in id order and only a strictly greater logit goes
// before another, so the lower id wins a tie.
struct Winners {
  std::array<int, kTopkMax> ids{};
  std::array<float, kTopkMax> logits{};
  int count = 0;

  void Offer(int id, float logit, int k) {
    int at = count;
    while (at > 0 && logit > logits[static_cast<std::size_t>(at - 1)]) --at;
    if (at == k) return;
    count = std::min(count + 1, k);
    for (int i = count - 1; i > at; --i) {
      ids[static_cast<std::size_t>(i)] = ids[static_cast<std::size_t>(i - 1)];
      logits[static_cast<std::size_t>(i)] = logits[static_cast<std::size_t>(i - 1)];
    }
    ids[static_cast<std::size_t>(at)] = id;
    logits[static_cast<std::size_t>(at)] = logit;
  }
};

// exp(logit - max), and 1 for the maximum even where the difference would be inf - inf.
float Weigh(float logit, float max) { return logit == max ? 1.0f : Exp(logit - max); }

void ZeroRow(const RouterTopkArgs& args, std::int64_t row) {
  for (int j = 0; j < args.k; ++j) {
    args.ids.row(row)[j] = static_cast<std::uint16_t>(j);
    args.weights.row(row)[j] = 0.0f;
  }
  args.bad_rows->fetch_add(1, std::memory_order_relaxed);
}

void RouteRow(const RouterTopkArgs& args, std::int64_t row) {
  const std::span<const float> logits = args.logits.row_span(row);
  Winners winners;
  for (std::size_t e = 0; e < logits.size(); ++e) {
    const bool number = logits[e] == logits[e];
    if (number) winners.Offer(static_cast<int>(e), logits[e], args.k);
  }
  if (winners.count < args.k) return ZeroRow(args, row);

  const float max = winners.logits[0];
  float sum = 0;
  if (args.normalise) {
    for (int j = 0; j < args.k; ++j) {
      sum += Weigh(winners.logits[static_cast<std::size_t>(j)], max);
    }
  } else {
    for (const float logit : logits) {
      const bool number = logit == logit;
      if (number) sum += Weigh(logit, max);
    }
  }
  for (int j = 0; j < args.k; ++j) {
    const auto at = static_cast<std::size_t>(j);
    args.ids.row(row)[j] = static_cast<std::uint16_t>(winners.ids[at]);
    args.weights.row(row)[j] = Weigh(winners.logits[at], max) / sum;
  }
}

}  // namespace

void RouterTopk(const RouterTopkArgs& args, const Lane& lane) {
  CONCLAVE_CHECK(args.k >= 1 && args.k <= kTopkMax && args.k <= args.logits.cols, "k %d", args.k);
  const Share share = ShareOf(args.logits.rows, lane.index, lane.count);
  for (std::int64_t r = share.begin; r < share.end; ++r) RouteRow(args, r);
}

}  // namespace conclave::ref
