#include "coordinator/placement_policy.h"

#include <algorithm>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/limits.h"

namespace conclave {
namespace {

struct Share {
  double exact = 0;        // experts per layer it should have
  std::int64_t room = 0;   // (layer, expert) pairs that fit
  std::int64_t total = 0;  // pairs it has been given in the layers so far
  std::int64_t count = 0;  // in this layer
  std::int64_t held = 0;   // in this layer, before
};

std::vector<Share> SharesOf(const PlacementAsk& ask, int replicas) {
  const auto pairs = static_cast<std::int64_t>(ask.moe_layers) * ask.experts;
  const bool weighted =
      ask.expert_bytes > 0 && std::ranges::all_of(ask.slots, [](const PlacementSlot& slot) {
        return slot.memory_bytes > 0;
      });
  double weight_all = 0;
  for (const PlacementSlot& slot : ask.slots) {
    weight_all += weighted ? static_cast<double>(slot.memory_bytes) : 1.0;
  }
  std::vector<Share> shares;
  for (const PlacementSlot& slot : ask.slots) {
    const double weight = weighted ? static_cast<double>(slot.memory_bytes) : 1.0;
    const double exact = weight / weight_all * ask.experts * replicas;
    Share share{.exact = std::min(exact, static_cast<double>(ask.experts)), .room = pairs};
    if (slot.memory_bytes > 0 && ask.expert_bytes > 0) {
      share.room = std::min(pairs, static_cast<std::int64_t>(slot.memory_bytes / ask.expert_bytes));
    }
    shares.push_back(share);
  }
  return shares;
}

// How many experts of this layer each gets, `wanted` in all: the whole part of its share, then one
// each by largest remainder, then whoever has room.
void CountLayer(std::vector<Share>& shares, int experts, std::int64_t wanted, int layers_left) {
  std::int64_t missing = wanted;
  for (Share& share : shares) {
    const std::int64_t room = (share.room - share.total) / layers_left;
    share.count = std::min(static_cast<std::int64_t>(share.exact), room);
    missing -= share.count;
  }
  std::vector<std::size_t> order(shares.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::sort(order, std::less{}, [&](std::size_t i) {
    const Share& share = shares[i];
    const double remainder = share.exact - static_cast<double>(share.count);
    // Those that hold more keep more; then totals even out over the layers.
    return std::tuple(-remainder, -std::min(share.held - share.count, std::int64_t{1}), share.total,
                      i);
  });
  while (missing > 0) {
    const std::int64_t before = missing;
    for (const std::size_t i : order) {
      Share& share = shares[i];
      if (missing == 0) break;
      if (share.count >= experts || share.total + share.count >= share.room) continue;
      ++share.count;
      --missing;
    }
    if (missing == before) break;  // a copy has no room; PlaceLayer sees to the rest
  }
  for (Share& share : shares) share.total += share.count;
}

// Who owns what in one layer: for each expert, indices into ask.slots.
using Owners = std::vector<std::vector<std::size_t>>;

bool Owns(const Owners& owners, std::size_t expert, std::size_t who) {
  return std::ranges::find(owners[expert], who) != owners[expert].end();
}

// Who owns them now and is still there.
Owners OwnersBefore(const PlacementAsk& ask, int layer) {
  Owners owners(static_cast<std::size_t>(ask.experts));
  if (ask.before == nullptr || ask.before->moe_layers() != ask.moe_layers ||
      ask.before->experts() != ask.experts) {
    return owners;
  }
  for (int expert = 0; expert < ask.experts; ++expert) {
    for (const std::uint8_t owner : ask.before->Owners(layer, expert)) {
      for (std::size_t i = 0; i < ask.slots.size(); ++i) {
        if (ask.slots[i].slot.value == owner) owners[static_cast<std::size_t>(expert)].push_back(i);
      }
    }
  }
  return owners;
}

// The one with most room that does not own it yet.
std::optional<std::size_t> Roomiest(const std::vector<std::int64_t>& room, const Owners& owners,
                                    std::size_t expert) {
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < room.size(); ++i) {
    if (room[i] <= 0 || Owns(owners, expert, i)) continue;
    if (!best.has_value() || room[i] > room[*best]) best = i;
  }
  return best;
}

// Whoever has room owns `expert` already: another expert's copy moves there, and makes room.
bool SwapInto(std::vector<std::int64_t>& room, Owners& owners, std::size_t expert) {
  for (std::size_t roomy = 0; roomy < room.size(); ++roomy) {
    if (room[roomy] <= 0) continue;
    for (std::size_t other = 0; other < owners.size(); ++other) {
      if (Owns(owners, other, roomy)) continue;
      for (std::size_t& owner : owners[other]) {
        if (Owns(owners, expert, owner)) continue;
        owners[expert].push_back(std::exchange(owner, roomy));
        --room[roomy];
        return true;
      }
    }
  }
  return false;
}

// False: some expert has fewer owners than wanted.
bool PlaceLayer(const PlacementAsk& ask, int layer, int replicas, std::vector<Share>& shares,
                Placement& placement) {
  Owners owners = OwnersBefore(ask, layer);
  for (Share& share : shares) share.held = 0;
  for (auto& of_expert : owners) {
    // More copies than wanted: the later ones go.
    if (of_expert.size() > static_cast<std::size_t>(replicas)) {
      of_expert.resize(static_cast<std::size_t>(replicas));
    }
    for (const std::size_t i : of_expert) ++shares[i].held;
  }
  CountLayer(shares, ask.experts, std::int64_t{ask.experts} * replicas, ask.moe_layers - layer);
  std::vector<std::int64_t> room;
  for (const Share& share : shares) room.push_back(share.count);
  for (auto& of_expert : owners) {
    std::erase_if(of_expert, [&](std::size_t i) { return room[i]-- <= 0; });
  }
  for (std::int64_t& left : room) left = std::max<std::int64_t>(left, 0);
  bool all = true;
  // First owners first: copies must not take the room that someone's only owner needs.
  for (int copy = 1; copy <= replicas; ++copy) {
    for (std::size_t expert = 0; expert < owners.size(); ++expert) {
      if (owners[expert].size() >= static_cast<std::size_t>(copy)) continue;
      if (const auto who = Roomiest(room, owners, expert)) {
        owners[expert].push_back(*who);
        --room[*who];
      } else if (!SwapInto(room, owners, expert)) {
        all = false;
      }
    }
  }
  for (std::size_t expert = 0; expert < owners.size(); ++expert) {
    for (const std::size_t i : owners[expert]) {
      placement.AddOwner(layer, static_cast<int>(expert), ask.slots[i].slot);
    }
  }
  return all;
}

// Every owner that is there stays, as far as it has room: who has its slot now may be another than
// the one `before` speaks of. Experts without one go to those that have least for their share.
std::optional<Placement> Repair(const PlacementAsk& ask) {
  std::vector<Share> shares = SharesOf(ask, 1);
  std::vector<Owners> layers;
  for (int layer = 0; layer < ask.moe_layers; ++layer) {
    layers.push_back(OwnersBefore(ask, layer));
    for (auto& of_expert : layers.back()) {
      std::erase_if(of_expert, [&](std::size_t i) { return shares[i].total >= shares[i].room; });
      for (const std::size_t i : of_expert) ++shares[i].total;
    }
  }
  Placement placement(ask.moe_layers, ask.experts);
  for (int layer = 0; layer < ask.moe_layers; ++layer) {
    Owners& owners = layers[static_cast<std::size_t>(layer)];
    for (Share& share : shares) share.count = 0;
    for (const auto& of_expert : owners) {
      for (const std::size_t i : of_expert) ++shares[i].count;
    }
    for (int expert = 0; expert < ask.experts; ++expert) {
      auto& of_expert = owners[static_cast<std::size_t>(expert)];
      if (of_expert.empty()) {
        const auto load = [](const Share& share) {
          return std::tuple(static_cast<double>(share.count + 1) / std::max(share.exact, 1e-9),
                            share.total);
        };
        std::optional<std::size_t> best;
        for (std::size_t i = 0; i < shares.size(); ++i) {
          if (shares[i].total >= shares[i].room) continue;
          if (!best.has_value() || load(shares[i]) < load(shares[*best])) best = i;
        }
        if (!best.has_value()) return std::nullopt;
        of_expert.push_back(*best);
        ++shares[*best].count;
        ++shares[*best].total;
      }
      for (const std::size_t i : of_expert) placement.AddOwner(layer, expert, ask.slots[i].slot);
    }
  }
  return placement;
}

}  // namespace

absl::Status CheckRoom(const PlacementAsk& ask) {
  std::int64_t room = 0;
  for (const Share& share : SharesOf(ask, 1)) room += share.room;
  const auto pairs = static_cast<std::int64_t>(ask.moe_layers) * ask.experts;
  if (room >= pairs) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the experts do not fit: ", pairs, " of ", ask.expert_bytes, " bytes, and ",
                   ask.slots.size(), " workers have room for ", room));
}

absl::StatusOr<Placement> PlaceExperts(const PlacementAsk& ask) {
  CONCLAVE_CHECK(!ask.slots.empty());
  if (absl::Status status = CheckRoom(ask); !status.ok()) return status;
  if (ask.repair) {
    if (std::optional<Placement> repaired = Repair(ask)) return *std::move(repaired);
  }
  const int most = std::min({ask.replicas, kReplicasMax, static_cast<int>(ask.slots.size())});
  for (int replicas = std::max(1, most);; --replicas) {
    std::vector<Share> shares = SharesOf(ask, replicas);
    Placement placement(ask.moe_layers, ask.experts);
    bool all = true;
    for (int layer = 0; layer < ask.moe_layers && all; ++layer) {
      all = PlaceLayer(ask, layer, replicas, shares, placement);
    }
    if (all) return placement;
    CONCLAVE_CHECK(replicas > 1, "experts that fit have found no room");
  }
}

}  // namespace conclave
