#include "coordinator/placement/rebalance.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "coordinator/placement/fill.h"

namespace conclave {
namespace {

// A load must bring the two workers it concerns nearer to each other by this part of the layer's
// mean time.
constexpr double kGainMin = 0.02;
// An expert gets another copy only if each of those it has needs this part of the mean at least: a
// lighter one can as well move, which takes no memory for good.
constexpr double kHot = 0.5;
// An extra copy goes when its expert, with one copy less, needs less than this part of the mean.
constexpr double kCold = 0.25;
// A worker whose memory is not known holds no more than this many times an even share.
constexpr double kSharesMost = 1.5;

// Loads that each worker may still be given, and all together.
struct LoadsLeft {
  int all = 0;
  std::array<int, kSlotsMax> each{};
};

LoadsLeft LoadsAllowed(const PlacementDraft& draft, const RebalanceLimits& limits) {
  LoadsLeft left{.all = limits.loads_all};
  const PlacementAsk& ask = draft.ask();
  const double share = static_cast<double>(ask.moe_layers) * ask.experts * CopiesWanted(ask) /
                       static_cast<double>(draft.workers());
  for (int w = 0; w < draft.workers(); ++w) {
    int room = draft.room(w);
    if (!draft.limited(w)) {
      room = std::min(room, static_cast<int>(kSharesMost * share) + 1 - draft.held(w));
    }
    left.each[static_cast<std::size_t>(w)] = std::clamp(room, 0, limits.loads_each);
  }
  return left;
}

// One step from the worker with most to do (`from`) to the one with least (`to`).
struct Step {
  enum class Kind : std::uint8_t { kMove, kCopy, kSwap } kind = Kind::kMove;
  int at = -1;      // the copy on `from`
  int other = -1;   // kSwap: the copy on `to`
  double gain = 0;  // how much sooner the later of the two then ends
  int loads() const { return kind == Kind::kSwap ? 2 : 1; }
  bool BetterThan(const Step& step) const { return gain / loads() > step.gain / step.loads(); }
};

class LayerWork {
 public:
  LayerWork(PlacementDraft& draft, int layer, LoadsLeft& left)
      : draft_(draft),
        experts_(draft.layer(layer)),
        weights_(draft.weights(layer)),
        left_(left),
        times_(draft, layer, 1, LayerTimes::Ranks::kLeastAndMost),
        copies_(experts_) {
    for (int w = 0; w < draft.workers(); ++w) BarWhenDone(w);
  }

  void Improve() {
    while (left_.all > 0) {
      const std::optional<int> from = times_.Most(), to = times_.Least();
      if (!from.has_value() || !to.has_value() || *from == *to) return;
      // No step gains more than one that makes both end at the same time.
      const double gap = times_.time(*from) - times_.time(*to);
      gain_most_ = gap * draft_.slowness(*from) / (draft_.slowness(*from) + draft_.slowness(*to));
      if (gain_most_ < kGainMin * times_.mean()) return;
      const Step step = Best(*from, *to);
      if (step.at < 0 || step.gain / step.loads() < kGainMin * times_.mean()) return;
      Take(step, *from, *to);
    }
  }

 private:
  double Part(int at, int copies_more) const {
    const auto e = static_cast<std::size_t>(CopiesByWorker::ExpertAt(at));
    return weights_[e] / static_cast<double>(experts_[e].size() + copies_more);
  }
  ExpertOwners& Owners(int at) {
    return experts_[static_cast<std::size_t>(CopiesByWorker::ExpertAt(at))];
  }
  double Gain(int from, double less, int to, double more) const {
    return times_.time(from) - std::max(times_.time(from) - less * draft_.slowness(from),
                                        times_.time(to) + more * draft_.slowness(to));
  }
  void BarWhenDone(int worker) {
    if (left_.each[static_cast<std::size_t>(worker)] <= 0) times_.Bar(worker);
  }

  Step Best(int from, int to) {
    Step best;
    const auto offer = [&](const Step& step) {
      if (best.at < 0 || step.BetterThan(best)) best = step;
    };
    for (int at = copies_.First(from); at >= 0; at = copies_.Next(at)) {
      if (Owners(at).Has(to)) continue;
      const double part = Part(at, 0);
      offer({.kind = Step::Kind::kMove, .at = at, .gain = Gain(from, part, to, part)});
      if (Owners(at).size() < kReplicasMax &&
          part * draft_.slowness(from) >= kHot * times_.mean()) {
        const double shared = Part(at, 1);
        offer({.kind = Step::Kind::kCopy, .at = at, .gain = Gain(from, part - shared, to, shared)});
      }
    }
    const bool may_swap = left_.all > 1 && left_.each[static_cast<std::size_t>(from)] > 0;
    // A swap loads two: it must gain twice as much.
    if (may_swap && (best.at < 0 || gain_most_ > 2 * best.gain)) OfferSwaps(from, to, best);
    return best;
  }

  void OfferSwaps(int from, int to, Step& best) {
    for (int at = copies_.First(from); at >= 0; at = copies_.Next(at)) {
      if (Owners(at).Has(to)) continue;
      for (int other = copies_.First(to); other >= 0; other = copies_.Next(other)) {
        if (Owners(other).Has(from)) continue;
        const double less = Part(at, 0) - Part(other, 0);
        const Step step = {.kind = Step::Kind::kSwap,
                           .at = at,
                           .other = other,
                           .gain = Gain(from, less, to, less)};
        if (less > 0 && (best.at < 0 || step.BetterThan(best))) best = step;
      }
    }
  }

  void Move(int at, int from, int to) {
    const auto part = static_cast<float>(Part(at, 0));
    draft_.Remove(Owners(at), from);
    draft_.Add(Owners(at), to);
    copies_.Move(at, from, to);
    times_.Add(from, -part);
    times_.Add(to, part);
    Count(to);
  }

  void Copy(int at, int to) {
    ExpertOwners& owners = Owners(at);
    const auto saved = static_cast<float>(Part(at, 0) - Part(at, 1));
    for (const std::uint8_t owner : owners.slots) {
      if (owner != kNoOwner) times_.Add(owner, -saved);
    }
    draft_.Add(owners, to);
    copies_.Add(CopiesByWorker::ExpertAt(at), static_cast<int>(owners.size()) - 1, to);
    times_.Add(to, static_cast<float>(Part(at, 0)));
    Count(to);
  }

  void Count(int to) {
    --left_.all;
    --left_.each[static_cast<std::size_t>(to)];
    BarWhenDone(to);
  }

  void Take(const Step& step, int from, int to) {
    switch (step.kind) {
      case Step::Kind::kMove:
        return Move(step.at, from, to);
      case Step::Kind::kCopy:
        return Copy(step.at, to);
      case Step::Kind::kSwap:
        Move(step.at, from, to);
        return Move(step.other, to, from);
    }
  }

  PlacementDraft& draft_;
  const std::span<ExpertOwners> experts_;
  const std::span<const float> weights_;
  LoadsLeft& left_;
  LayerTimes times_;
  CopiesByWorker copies_;
  double gain_most_ = 0;  // of any step between the two workers at hand
};

// Extra copies that nobody needs any more. What they held is not free before the change is made.
void DropCold(PlacementDraft& draft, int layer, double mean) {
  const auto wanted = static_cast<std::size_t>(CopiesWanted(draft.ask()));
  const std::span<ExpertOwners> experts = draft.layer(layer);
  for (std::size_t e = 0; e < experts.size(); ++e) {
    ExpertOwners& owners = experts[e];
    for (std::size_t count = owners.size(); count > wanted; --count) {
      const int last = owners.slots[count - 1];
      const double part = draft.weights(layer)[e] / static_cast<double>(count - 1);
      if (part * draft.slowness(last) >= kCold * mean) break;
      draft.Remove(owners, last);
    }
  }
}

// The layers whose slowest worker ends longest after the mean come first.
std::vector<int> LayersByExcess(PlacementDraft& draft, std::vector<double>& means) {
  std::vector<std::pair<double, int>> order;
  for (int layer = 0; layer < draft.ask().moe_layers; ++layer) {
    const LayerTimes times(draft, layer, 1, LayerTimes::Ranks::kNone);
    means.push_back(times.mean());
    order.emplace_back(times.mean() - times.slowest(), layer);
  }
  std::ranges::sort(order);
  std::vector<int> layers;
  for (const auto& [excess, layer] : order) layers.push_back(layer);
  return layers;
}

Placement Restored(const PlacementAsk& ask) {
  PlacementDraft draft(ask);
  for (int copies = 1; copies <= CopiesWanted(ask); ++copies) AddMissingCopies(draft, copies);
  return draft.Finish();
}

}  // namespace

Rebalanced Rebalance(const PlacementAsk& ask, const RebalanceLimits& limits) {
  PlacementDraft draft(ask);
  Rebalanced result{.before = BalanceOf(*ask.before, ask, draft.weights())};
  for (int copies = 1; copies <= CopiesWanted(ask); ++copies) AddMissingCopies(draft, copies);
  LoadsLeft left = LoadsAllowed(draft, limits);
  std::vector<double> means;
  const std::vector<int> layers = LayersByExcess(draft, means);
  for (int layer = 0; layer < ask.moe_layers; ++layer) {
    DropCold(draft, layer, means[static_cast<std::size_t>(layer)]);
  }
  for (const int layer : layers) LayerWork(draft, layer, left).Improve();
  result.placement = draft.Finish();
  result.after = BalanceOf(result.placement, ask, draft.weights());
  if (result.after.slowest > result.before.slowest) {
    result.placement = Restored(ask);
    result.after = BalanceOf(result.placement, ask);
  }
  result.loads = LoadsBetween(*ask.before, result.placement);
  return result;
}

}  // namespace conclave
