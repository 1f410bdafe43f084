#include "protocol/placement.h"

#include <algorithm>

#include "base/check.h"
#include "base/hash.h"

namespace conclave {
namespace {
constexpr std::uint8_t kNobody = 0xff;
}

Placement::Placement(int moe_layers, int experts) : moe_layers_(moe_layers), experts_(experts) {
  CONCLAVE_CHECK(moe_layers >= 0 && moe_layers <= kLayersMax && experts >= 0 &&
                 experts <= kExpertsMax);
  owners_.assign(
      static_cast<std::size_t>(moe_layers) * static_cast<std::size_t>(experts) * kReplicasMax,
      kNobody);
}

Placement Placement::FromFlat(int moe_layers, int experts, std::vector<std::uint8_t> flat) {
  Placement placement(moe_layers, experts);
  CONCLAVE_CHECK(flat.size() == placement.owners_.size(), "%zu bytes of owners", flat.size());
  placement.owners_ = std::move(flat);
  return placement;
}

std::span<const std::uint8_t> Placement::Owners(int layer, int expert) const {
  CONCLAVE_CHECK(layer >= 0 && layer < moe_layers_ && expert >= 0 && expert < experts_,
                 "layer %d expert %d", layer, expert);
  const std::uint8_t* first =
      owners_.data() + (static_cast<std::size_t>(layer) * static_cast<std::size_t>(experts_) +
                        static_cast<std::size_t>(expert)) *
                           kReplicasMax;
  std::size_t count = 0;
  while (count < kReplicasMax && first[count] != kNobody) ++count;
  return {first, count};
}

void Placement::AddOwner(int layer, int expert, Slot slot) {
  const auto owners = Owners(layer, expert);
  CONCLAVE_CHECK(owners.size() < kReplicasMax && slot.value >= 0 && slot.value < kSlotsMax,
                 "slot %d", slot.value);
  auto* first = const_cast<std::uint8_t*>(owners.data());
  auto* const end = first + owners.size();
  const auto id = static_cast<std::uint8_t>(slot.value);
  auto* const at = std::lower_bound(first, end, id);
  CONCLAVE_CHECK(at == end || *at != id, "slot %d owns layer %d expert %d already", slot.value,
                 layer, expert);
  std::move_backward(at, end, end + 1);
  *at = id;
}

bool Placement::Complete() const {
  for (std::size_t i = 0; i < owners_.size(); i += kReplicasMax) {
    if (owners_[i] == kNobody) return false;
  }
  return true;
}

Slot Placement::ServerFor(int layer, int expert, Slot home) const {
  const auto owners = Owners(layer, expert);
  CONCLAVE_CHECK(!owners.empty(), "layer %d expert %d has no owner", layer, expert);
  for (const std::uint8_t owner : owners) {
    if (owner == home.value) return home;
  }
  const auto turn = static_cast<std::size_t>(home.value + expert);
  return Slot{owners[turn % owners.size()]};
}

std::vector<std::uint16_t> Placement::OwnedBy(int layer, Slot slot) const {
  std::vector<std::uint16_t> owned;
  for (int expert = 0; expert < experts_; ++expert) {
    for (const std::uint8_t owner : Owners(layer, expert)) {
      if (owner == slot.value) owned.push_back(static_cast<std::uint16_t>(expert));
    }
  }
  return owned;
}

std::uint64_t Placement::Digest() const {
  return Mix(
      Mix(HashBytes(std::as_bytes(std::span(owners_))), static_cast<std::uint64_t>(moe_layers_)),
      static_cast<std::uint64_t>(experts_));
}

}  // namespace conclave
