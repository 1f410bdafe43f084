#include "coordinator/placement/fill.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/check.h"

namespace conclave {
namespace {

// Weights that differ by less than an eighth are alike here: sorting them exactly gains nothing.
constexpr int kBucketShift = 20;  // keeps the exponent and three bits of a float
constexpr std::uint32_t kBucketLow = std::bit_cast<std::uint32_t>(0.125f) >> kBucketShift;
constexpr std::size_t kBuckets = 128;  // up to 8192 times the mean

std::size_t BucketOf(float weight) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(weight) >> kBucketShift;
  return kBuckets - 1 - std::clamp<std::size_t>(bits - kBucketLow, 0, kBuckets - 1);
}

// Experts of the layer with exactly copies - 1 copies, the heaviest first, then by id.
std::span<const std::uint16_t> Lacking(std::span<const ExpertOwners> experts,
                                       std::span<const float> weights, int copies,
                                       std::array<std::uint16_t, kExpertsMax>& ids) {
  std::array<std::uint16_t, kBuckets> next{};
  const auto lacks = [&](std::size_t e) {
    return experts[e].size() == static_cast<std::size_t>(copies - 1);
  };
  std::size_t count = 0;
  for (std::size_t e = 0; e < experts.size(); ++e) {
    if (!lacks(e)) continue;
    ++next[BucketOf(weights[e])];
    ++count;
  }
  if (count == 0) return {};
  std::uint16_t begin = 0;
  for (std::uint16_t& at : next) begin = static_cast<std::uint16_t>(begin + std::exchange(at, begin));
  for (std::size_t e = 0; e < experts.size(); ++e) {
    if (lacks(e)) ids[next[BucketOf(weights[e])]++] = static_cast<std::uint16_t>(e);
  }
  return {ids.data(), count};
}

// How many copies each worker with little memory may take in this layer, so that later layers get
// as many.
class Quotas {
 public:
  Quotas(PlacementDraft& draft, LayerTimes& times, int layers_left) : draft_(draft), times_(times) {
    for (int w = 0; w < draft.workers(); ++w) {
      const auto at = static_cast<std::size_t>(w);
      left_[at] = draft.limited(w) ? (draft.room(w) + layers_left - 1) / layers_left : kExpertsMax;
    }
  }
  void Take(int worker) {
    if (--left_[static_cast<std::size_t>(worker)] <= 0 && !lifted_) times_.Bar(worker);
  }
  // Nobody may take more: from now on memory alone counts. False: it did before.
  bool Lift() {
    if (std::exchange(lifted_, true)) return false;
    AdmitAll();
    return true;
  }
  void AdmitAll() {
    for (int w = 0; w < draft_.workers(); ++w) times_.Admit(w);
  }

 private:
  PlacementDraft& draft_;
  LayerTimes& times_;
  std::array<int, kSlotsMax> left_{};
  bool lifted_ = false;
};

// The worker with least to do that does not own the expert yet.
std::optional<int> LeastWithout(const ExpertOwners& owners, LayerTimes& times) {
  std::array<int, kReplicasMax> barred{};
  std::size_t count = 0;
  std::optional<int> found = times.Least();
  while (found.has_value() && owners.Has(*found)) {
    times.Bar(*found);
    barred[count++] = *found;
    found = times.Least();
  }
  for (std::size_t i = 0; i < count; ++i) times.Admit(barred[i]);
  return found;
}

// Those who have room own the expert already: a copy of another one moves to one of them, which
// makes room for this one's.
bool SwapInto(PlacementDraft& draft, std::span<ExpertOwners> experts, ExpertOwners& owners) {
  for (int roomy = 0; roomy < draft.workers(); ++roomy) {
    if (draft.room(roomy) <= 0) continue;
    for (ExpertOwners& other : experts) {
      if (other.Has(roomy)) continue;
      for (const std::uint8_t owner : other.slots) {
        if (owner == kNoOwner) break;
        if (owners.Has(owner)) continue;
        draft.Remove(other, owner);
        draft.Add(other, roomy);
        draft.Add(owners, owner);
        return true;
      }
    }
  }
  return false;
}

}  // namespace

int CopiesWanted(const PlacementAsk& ask) {
  return std::clamp(std::min(ask.replicas, static_cast<int>(ask.workers.size())), 1, kReplicasMax);
}

CopiesByWorker::CopiesByWorker(std::span<const ExpertOwners> experts) {
  first_.fill(-1);
  for (auto e = static_cast<int>(experts.size()) - 1; e >= 0; --e) {
    const ExpertOwners& owners = experts[static_cast<std::size_t>(e)];
    for (int i = 0; i < static_cast<int>(owners.size()); ++i) {
      Add(e, i, owners.slots[static_cast<std::size_t>(i)]);
    }
  }
}

void CopiesByWorker::Add(int expert, int copy, int worker) {
  const int at = expert * kReplicasMax + copy;
  next_[static_cast<std::size_t>(at)] = first_[static_cast<std::size_t>(worker)];
  first_[static_cast<std::size_t>(worker)] = static_cast<std::int16_t>(at);
}

void CopiesByWorker::Move(int at, int from, int to) {
  std::int16_t* link = &first_[static_cast<std::size_t>(from)];
  while (*link != at) link = &next_[static_cast<std::size_t>(*link)];
  *link = next_[static_cast<std::size_t>(at)];
  Add(at / kReplicasMax, at % kReplicasMax, to);
}

void MakeRoom(PlacementDraft& draft) {
  const int layers = draft.ask().moe_layers;
  std::int64_t missing = 0, room = 0;
  for (int layer = 0; layer < layers; ++layer) {
    for (const ExpertOwners& owners : draft.layer(layer)) missing += owners.slots[0] == kNoOwner;
  }
  for (int w = 0; w < draft.workers(); ++w) room += draft.room(w);
  for (int layer = layers - 1; layer >= 0 && room < missing; --layer) {
    for (ExpertOwners& owners : draft.layer(layer)) {
      while (room < missing && owners.size() > 1) {
        draft.Remove(owners, owners.slots[owners.size() - 1]);
        ++room;
      }
    }
  }
}

void AddMissingCopies(PlacementDraft& draft, int copies) {
  std::array<std::uint16_t, kExpertsMax> ids;
  for (int layer = 0; layer < draft.ask().moe_layers; ++layer) {
    const std::span<ExpertOwners> experts = draft.layer(layer);
    const std::span<const float> weights = draft.weights(layer);
    const std::span<const std::uint16_t> lacking = Lacking(experts, weights, copies, ids);
    if (lacking.empty()) continue;
    LayerTimes times(draft, layer, copies, LayerTimes::Ranks::kLeast);
    Quotas quotas(draft, times, draft.ask().moe_layers - layer);
    for (const std::uint16_t expert : lacking) {
      ExpertOwners& owners = experts[expert];
      std::optional<int> to = LeastWithout(owners, times);
      if (!to.has_value() && quotas.Lift()) to = LeastWithout(owners, times);
      if (to.has_value()) {
        draft.Add(owners, *to);
        times.Add(*to, weights[expert] / static_cast<float>(copies));
        quotas.Take(*to);
      } else if (SwapInto(draft, experts, owners)) {
        quotas.AdmitAll();  // who has room is not what it was
      } else {
        CONCLAVE_CHECK(copies > 1, "experts that fit have found no room");
      }
    }
  }
}

}  // namespace conclave
