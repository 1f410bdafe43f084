#include "coordinator/placement/draft.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "coordinator/placement/share_out.h"

namespace conclave {
namespace {

std::int64_t CapacityOf(const PlacementAsk& ask, const PlacementWorker& worker) {
  const auto pairs = static_cast<std::int64_t>(ask.moe_layers) * ask.experts;
  if (worker.memory_bytes == 0 || ask.expert_bytes == 0) return pairs;
  return std::min(pairs, static_cast<std::int64_t>(worker.memory_bytes / ask.expert_bytes));
}

}  // namespace

void LowestKey::Reset(std::span<const std::uint64_t> keys) {
  leaves_ = std::bit_ceil(std::max<std::size_t>(keys.size(), 1));
  std::fill_n(tree_.begin() + static_cast<std::ptrdiff_t>(leaves_), leaves_, kOut);
  std::ranges::copy(keys, tree_.begin() + static_cast<std::ptrdiff_t>(leaves_));
  for (std::size_t i = leaves_ - 1; i > 0; --i) {
    tree_[i] = std::min(tree_[2 * i], tree_[2 * i + 1]);
  }
}

void LowestKey::Set(int at, std::uint64_t key) {
  std::size_t i = leaves_ + static_cast<std::size_t>(at);
  tree_[i] = key;
  while (i > 1) {
    key = std::min(key, tree_[i ^ 1]);
    i /= 2;
    tree_[i] = key;
  }
}

absl::Status CheckRoom(const PlacementAsk& ask) {
  std::int64_t room = 0;
  for (const PlacementWorker& worker : ask.workers) room += CapacityOf(ask, worker);
  const auto pairs = static_cast<std::int64_t>(ask.moe_layers) * ask.experts;
  if (room >= pairs) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the experts do not fit: ", pairs, " of ", ask.expert_bytes, " bytes, and ",
                   ask.workers.size(), " workers have room for ", room));
}

PlacementDraft::PlacementDraft(const PlacementAsk& ask)
    : ask_(ask),
      weights_(ExpertWeights(ask)),
      all_(static_cast<std::size_t>(ask.moe_layers) * static_cast<std::size_t>(ask.experts)) {
  CONCLAVE_CHECK(!ask.workers.empty() && ask.workers.size() <= kSlotsMax);
  std::array<std::uint8_t, 256> index;
  index.fill(kNoOwner);
  for (std::size_t w = 0; w < ask.workers.size(); ++w) {
    const PlacementWorker& worker = ask.workers[w];
    CONCLAVE_CHECK(worker.speed > 0, "slot %d has no speed", worker.slot.value);
    index[static_cast<std::size_t>(worker.slot.value)] = static_cast<std::uint8_t>(w);
    slowness_[w] = static_cast<float>(1 / worker.speed);
    capacity_[w] = static_cast<std::int32_t>(CapacityOf(ask, worker));
  }
  if (ask.before == nullptr || ask.before->moe_layers() != ask.moe_layers ||
      ask.before->experts() != ask.experts) {
    return;
  }
  const std::span<const ExpertOwners> before = ask.before->all();
  for (std::size_t i = 0; i < all_.size(); ++i) {
    std::size_t count = 0;
    for (const std::uint8_t slot : before[i].slots) {
      if (slot == kNoOwner) break;
      const std::uint8_t w = index[slot];
      if (w == kNoOwner || held_[w] >= capacity_[w]) continue;
      all_[i].slots[count++] = w;
      ++held_[w];
    }
  }
}

std::span<ExpertOwners> PlacementDraft::layer(int layer) {
  const auto experts = static_cast<std::size_t>(ask_.experts);
  return std::span(all_).subspan(static_cast<std::size_t>(layer) * experts, experts);
}

std::span<const float> PlacementDraft::weights(int layer) const {
  const auto experts = static_cast<std::size_t>(ask_.experts);
  return std::span(weights_).subspan(static_cast<std::size_t>(layer) * experts, experts);
}

void PlacementDraft::Add(ExpertOwners& owners, int worker) {
  const std::size_t count = owners.size();
  CONCLAVE_CHECK(count < kReplicasMax && room(worker) > 0 && !owners.Has(worker));
  owners.slots[count] = static_cast<std::uint8_t>(worker);
  ++held_[static_cast<std::size_t>(worker)];
}

void PlacementDraft::Remove(ExpertOwners& owners, int worker) {
  const std::size_t count = owners.size();
  const auto at = std::ranges::find(owners.slots, static_cast<std::uint8_t>(worker));
  CONCLAVE_CHECK(at != owners.slots.end());
  *at = owners.slots[count - 1];
  owners.slots[count - 1] = kNoOwner;
  --held_[static_cast<std::size_t>(worker)];
}

Placement PlacementDraft::Finish() {
  SlotSet homes;
  std::vector<HomeWorker> about;
  for (const PlacementWorker& worker : ask_.workers) {
    about.push_back({.slowness = static_cast<float>(1 / worker.speed), .home = worker.home});
    if (worker.home) homes.Add(worker.slot);
  }
  for (int l = 0; l < ask_.moe_layers; ++l) {
    const std::span<ExpertOwners> experts = layer(l);
    for (ExpertOwners& owners : experts) {
      const std::size_t count = owners.size();
      if (count > 1) std::sort(owners.slots.begin(), owners.slots.begin() + count);
    }
    ShareOut(experts, weights(l), about, l);
    for (ExpertOwners& owners : experts) {
      for (std::uint8_t& slot : owners.slots) {
        if (slot == kNoOwner) break;
        slot = static_cast<std::uint8_t>(ask_.workers[slot].slot.value);
      }
    }
  }
  PlacementBuilder builder(ask_.moe_layers, ask_.experts, std::move(all_));
  builder.SetHomes(homes);
  return builder.Build();
}

LayerTimes::LayerTimes(PlacementDraft& draft, int layer, int copies_min, Ranks ranks)
    : draft_(draft), ranks_(ranks) {
  const std::span<ExpertOwners> experts = draft.layer(layer);
  const std::span<const float> weights = draft.weights(layer);
  double weight_all = 0, speed_all = 0;
  for (std::size_t e = 0; e < experts.size(); ++e) {
    weight_all += weights[e];
    const std::size_t count = experts[e].size();
    const auto copies = std::max(count, static_cast<std::size_t>(copies_min));
    const float part = weights[e] / static_cast<float>(copies);
    for (std::size_t o = 0; o < count; ++o) {
      const std::uint8_t worker = experts[e].slots[o];
      time_[worker] += part * draft.slowness(worker);
    }
  }
  const auto workers = static_cast<std::size_t>(draft.workers());
  for (std::size_t w = 0; w < workers; ++w) {
    speed_all += draft.ask().workers[w].speed;
    barred_[w] = draft.room(static_cast<int>(w)) <= 0;
  }
  mean_ = weight_all / speed_all;
  Rank();
}

void LayerTimes::Rank() {
  if (ranks_ == Ranks::kNone) return;
  const auto workers = static_cast<std::size_t>(draft_.workers());
  std::array<std::uint64_t, kSlotsMax> keys;
  for (std::size_t w = 0; w < workers; ++w) keys[w] = LeastKey(w);
  least_.Reset({keys.data(), workers});
  if (ranks_ == Ranks::kLeast) return;
  for (std::size_t w = 0; w < workers; ++w) keys[w] = MostKey(w);
  most_.Reset({keys.data(), workers});
}

void LayerTimes::OnlyInto(std::span<const int> takers) {
  std::array<bool, kSlotsMax> takes{};
  for (const int taker : takers) takes[static_cast<std::size_t>(taker)] = true;
  for (std::size_t w = 0; w < kSlotsMax; ++w) {
    barred_[w] = barred_[w] || !takes[w];
    settled_[w] = takes[w];
  }
  Rank();
}

// Where one more expert of mean weight would end soonest.
std::uint64_t LayerTimes::LeastKey(std::size_t at) const {
  if (barred_[at]) return LowestKey::kOut;
  const auto worker = static_cast<int>(at);
  const auto low = static_cast<std::uint32_t>(draft_.held(worker)) << 7;
  return TimeKey(time_[at] + draft_.slowness(worker)) << 32 | low | static_cast<std::uint32_t>(at);
}

std::uint64_t LayerTimes::MostKey(std::size_t at) const {
  if (settled_[at]) return LowestKey::kOut;
  return ~(TimeKey(time_[at]) << 32 | (kSlotsMax - 1 - static_cast<std::uint32_t>(at)));
}

void LayerTimes::Add(int worker, float weight) {
  const auto at = static_cast<std::size_t>(worker);
  time_[at] += weight * draft_.slowness(worker);
  barred_[at] = barred_[at] || draft_.room(worker) <= 0;
  least_.Set(worker, LeastKey(at));
  if (ranks_ == Ranks::kLeastAndMost) most_.Set(worker, MostKey(at));
}

void LayerTimes::Bar(int worker) {
  const auto at = static_cast<std::size_t>(worker);
  barred_[at] = true;
  least_.Set(worker, LowestKey::kOut);
}

void LayerTimes::Admit(int worker) {
  const auto at = static_cast<std::size_t>(worker);
  barred_[at] = draft_.room(worker) <= 0;
  least_.Set(worker, LeastKey(at));
}

std::optional<int> LayerTimes::Most() const {
  if (most_.lowest() == LowestKey::kOut) return std::nullopt;
  return kSlotsMax - 1 - static_cast<int>(~most_.lowest() & (kSlotsMax - 1));
}

void LayerTimes::Settle(int worker) {
  const auto at = static_cast<std::size_t>(worker);
  settled_[at] = true;
  most_.Set(worker, LowestKey::kOut);
}

}  // namespace conclave
