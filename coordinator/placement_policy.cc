#include "coordinator/placement_policy.h"

#include <algorithm>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace conclave {
namespace {

struct Share {
  double exact = 0;        // experts per layer it should have
  std::int64_t room = 0;   // (layer, expert) pairs that fit
  std::int64_t total = 0;  // pairs it has been given in the layers so far
  std::int64_t count = 0;  // in this layer
  std::int64_t held = 0;   // in this layer, before
};

std::vector<Share> SharesOf(const PlacementAsk& ask) {
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
    Share share{.exact = weight / weight_all * ask.experts, .room = pairs};
    if (slot.memory_bytes > 0 && ask.expert_bytes > 0) {
      share.room = std::min(pairs, static_cast<std::int64_t>(slot.memory_bytes / ask.expert_bytes));
    }
    shares.push_back(share);
  }
  return shares;
}

// How many experts of this layer each gets: the whole part of its share, then one each by largest
// remainder, then whoever has room.
void CountLayer(std::vector<Share>& shares, int experts, int layers_left) {
  std::int64_t missing = experts;
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
      if (share.total + share.count >= share.room) continue;
      ++share.count;
      --missing;
    }
    CONCLAVE_CHECK(missing < before, "%lld experts have no room", static_cast<long long>(missing));
  }
  for (Share& share : shares) share.total += share.count;
}

// The index in ask.slots of who owns it now and is still there; -1: nobody.
int OwnerBefore(const PlacementAsk& ask, int layer, int expert) {
  if (ask.before == nullptr || ask.before->moe_layers() != ask.moe_layers ||
      ask.before->experts() != ask.experts) {
    return -1;
  }
  for (const std::uint8_t owner : ask.before->Owners(layer, expert)) {
    for (std::size_t i = 0; i < ask.slots.size(); ++i) {
      if (ask.slots[i].slot.value == owner) return static_cast<int>(i);
    }
  }
  return -1;
}

void PlaceLayer(const PlacementAsk& ask, int layer, std::vector<Share>& shares,
                Placement& placement) {
  std::vector<int> owner(static_cast<std::size_t>(ask.experts));
  for (Share& share : shares) share.held = 0;
  for (int expert = 0; expert < ask.experts; ++expert) {
    const int now = OwnerBefore(ask, layer, expert);
    owner[static_cast<std::size_t>(expert)] = now;
    if (now >= 0) ++shares[static_cast<std::size_t>(now)].held;
  }
  CountLayer(shares, ask.experts, ask.moe_layers - layer);
  std::vector<std::int64_t> room;
  for (const Share& share : shares) room.push_back(share.count);
  for (int& now : owner) {
    if (now >= 0 && room[static_cast<std::size_t>(now)]-- <= 0) now = -1;
  }
  std::size_t next = 0;
  for (int expert = 0; expert < ask.experts; ++expert) {
    int& now = owner[static_cast<std::size_t>(expert)];
    if (now < 0) {
      while (room[next] <= 0) ++next;
      --room[next];
      now = static_cast<int>(next);
    }
    placement.AddOwner(layer, expert, ask.slots[static_cast<std::size_t>(now)].slot);
  }
}

}  // namespace

absl::StatusOr<Placement> PlaceExperts(const PlacementAsk& ask) {
  CONCLAVE_CHECK(!ask.slots.empty());
  std::vector<Share> shares = SharesOf(ask);
  std::int64_t room = 0;
  for (const Share& share : shares) room += share.room;
  const auto pairs = static_cast<std::int64_t>(ask.moe_layers) * ask.experts;
  if (room < pairs) {
    return absl::FailedPreconditionError(
        absl::StrCat("the experts do not fit: ", pairs, " of ", ask.expert_bytes, " bytes, and ",
                     ask.slots.size(), " workers have room for ", room));
  }
  Placement placement(ask.moe_layers, ask.experts);
  for (int layer = 0; layer < ask.moe_layers; ++layer) PlaceLayer(ask, layer, shares, placement);
  return placement;
}

}  // namespace conclave
