#include "coordinator/placement/objective.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "base/check.h"

namespace conclave {
namespace {
constexpr float kFloor = 0.125f;  // of the mean weight, for every expert
}

std::vector<float> ExpertWeights(const PlacementAsk& ask) {
  const auto experts = static_cast<std::size_t>(ask.experts);
  std::vector<float> weights(static_cast<std::size_t>(ask.moe_layers) * experts, 1.0f);
  if (ask.loads.empty()) return weights;
  CONCLAVE_CHECK(ask.loads.size() == weights.size(), "%zu loads", ask.loads.size());
  for (std::size_t begin = 0; begin < weights.size(); begin += experts) {
    const auto loads = ask.loads.subspan(begin, experts);
    const float all = std::accumulate(loads.begin(), loads.end(), 0.0f);
    if (!(all > 0)) continue;  // nothing was measured in this layer
    const float scale = (1 - kFloor) * static_cast<float>(experts) / all;
    for (std::size_t e = 0; e < experts; ++e) weights[begin + e] = kFloor + scale * loads[e];
  }
  return weights;
}

Balance BalanceOf(const Placement& placement, const PlacementAsk& ask) {
  return BalanceOf(placement, ask, ExpertWeights(ask));
}

Balance BalanceOf(const Placement& placement, const PlacementAsk& ask,
                  std::span<const float> weights) {
  std::array<double, kSlotsMax> slowness{};
  double speed_all = 0;
  int homes = 0;
  for (const PlacementWorker& worker : ask.workers) {
    slowness[static_cast<std::size_t>(worker.slot.value)] = 1 / worker.speed;
    speed_all += worker.speed;
    homes += worker.home ? 1 : 0;
  }
  Balance balance;
  const auto experts = static_cast<std::size_t>(ask.experts);
  const auto all = placement.all();
  for (std::size_t begin = 0; begin < all.size(); begin += experts) {
    std::array<double, kSlotsMax> time{};
    double weight_all = 0;
    for (std::size_t i = begin; i < begin + experts; ++i) {
      const ExpertOwners& owners = all[i];
      weight_all += weights[i];
      const std::size_t count = owners.size();
      if (count == 1) {
        time[owners.slots[0]] += weights[i] * slowness[owners.slots[0]];
        continue;
      }
      const int shares = std::accumulate(owners.shares.begin(), owners.shares.end(), 0);
      for (std::size_t o = 0; o < count; ++o) {
        const std::uint8_t slot = owners.slots[o];
        double part = 1.0 / static_cast<double>(count);
        if (shares > 0) {
          const int own = placement.homes().Has(Slot{slot}) ? 1 : 0;
          part = static_cast<double>(own + owners.shares[o]) / homes;
        }
        time[slot] += weights[i] * part * slowness[slot];
      }
    }
    balance.slowest += *std::ranges::max_element(time);
    balance.even += weight_all / speed_all;
  }
  return balance;
}

LoadsDue LoadsBetween(const Placement& before, const Placement& after) {
  const bool same = before.moe_layers() == after.moe_layers() && before.experts() == after.experts();
  std::array<int, kSlotsMax> due{};
  const std::span<const ExpertOwners> had = before.all(), has = after.all();
  for (std::size_t i = 0; i < has.size(); ++i) {
    for (const std::uint8_t slot : has[i].slots) {
      if (slot == kNoOwner) break;
      if (!same || !had[i].Has(slot)) ++due[slot];
    }
  }
  return {.all = std::accumulate(due.begin(), due.end(), 0), .most = *std::ranges::max_element(due)};
}

}  // namespace conclave
