#include "protocol/placement.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/hash.h"

namespace conclave {
namespace {

constexpr std::uint8_t kLast = 0x80;       // in a packed owner: the expert's last one
constexpr std::uint8_t kUnowned = 0x7f;    // a packed expert without owner
constexpr std::size_t kLayerEnds = kSlotsMax + 1;

bool AnyShare(const ExpertOwners& owners) {
  return std::bit_cast<std::uint32_t>(owners.shares) != 0;
}

std::size_t PairsOf(int moe_layers, int experts) {
  CONCLAVE_CHECK(moe_layers >= 0 && moe_layers <= kLayersMax && experts >= 0 &&
                 experts <= kExpertsMax);
  return static_cast<std::size_t>(moe_layers) * static_cast<std::size_t>(experts);
}

PackedPlacement Pack(std::span<const ExpertOwners> all, const SlotSet& homes) {
  PackedPlacement packed;
  std::size_t bytes = 0, several = 0;
  bool shares = false;
  for (const ExpertOwners& owners : all) {
    const std::size_t count = owners.size();
    bytes += std::max<std::size_t>(count, 1);
    several += count > 1 ? count : 0;
    shares = shares || AnyShare(owners);
  }
  packed.owners.resize(bytes);
  if (shares) packed.shares.resize(several);
  char* owner = packed.owners.data();
  char* share = packed.shares.data();
  for (const ExpertOwners& owners : all) {
    const std::size_t count = owners.size();
    if (count == 0) *owner++ = static_cast<char>(kUnowned);
    for (std::size_t i = 0; i < count; ++i) *owner++ = static_cast<char>(owners.slots[i]);
    if (count > 0) owner[-1] = static_cast<char>(owners.slots[count - 1] | kLast);
    if (!shares || count < 2) continue;
    for (std::size_t i = 0; i < count; ++i) *share++ = static_cast<char>(owners.shares[i]);
  }
  for (int slot = 0; slot < kSlotsMax; ++slot) {
    if (homes.Has(Slot{slot})) packed.homes.push_back(static_cast<char>(slot));
  }
  return packed;
}

}  // namespace

// What is derived from `all` is made once, by Build.
struct Placement::Data {
  int moe_layers = 0;
  int experts = 0;
  std::vector<ExpertOwners> all;  // [moe layers, experts]
  SlotSet homes;
  bool complete = true;
  std::vector<std::uint16_t> owned;        // expert ids by layer, then by owner, rising
  std::vector<std::uint32_t> owned_begin;  // [moe layers, kLayerEnds] into owned
  std::array<std::int32_t, kSlotsMax> owned_count{};
  PackedPlacement packed;

  void Index();
};

void Placement::Data::Index() {
  owned_begin.assign(static_cast<std::size_t>(moe_layers) * kLayerEnds, 0);
  owned.reserve(all.size());
  const auto width = static_cast<std::size_t>(experts);
  for (std::size_t layer = 0; layer < static_cast<std::size_t>(moe_layers); ++layer) {
    const auto of_layer = std::span(all).subspan(layer * width, width);
    const auto begin = std::span(owned_begin).subspan(layer * kLayerEnds, kLayerEnds);
    std::array<std::uint32_t, kSlotsMax> next{};
    for (const ExpertOwners& owners : of_layer) {
      const std::size_t count = owners.size();
      complete = complete && count > 0;
      for (std::size_t o = 0; o < count; ++o) ++next[owners.slots[o]];
    }
    auto at = static_cast<std::uint32_t>(owned.size());
    for (std::size_t slot = 0; slot < kSlotsMax; ++slot) {
      begin[slot] = at;
      owned_count[slot] += static_cast<std::int32_t>(next[slot]);
      at += std::exchange(next[slot], at);
    }
    begin[kSlotsMax] = at;
    owned.resize(at);
    for (std::size_t expert = 0; expert < width; ++expert) {
      const std::size_t count = of_layer[expert].size();
      for (std::size_t o = 0; o < count; ++o) {
        owned[next[of_layer[expert].slots[o]]++] = static_cast<std::uint16_t>(expert);
      }
    }
  }
  packed = Pack(all, homes);
}

Placement::Placement() {
  static const auto* const kEmpty = new std::shared_ptr<const Data>(std::make_shared<Data>());
  data_ = *kEmpty;
}

Placement::Placement(int moe_layers, int experts)
    : Placement(PlacementBuilder(moe_layers, experts).Build()) {}

Placement::Placement(std::shared_ptr<const Data> data) : data_(std::move(data)) {}

int Placement::moe_layers() const { return data_->moe_layers; }
int Placement::experts() const { return data_->experts; }
std::span<const ExpertOwners> Placement::all() const { return data_->all; }
bool Placement::Complete() const { return data_->complete; }
const SlotSet& Placement::homes() const { return data_->homes; }
const PackedPlacement& Placement::packed() const { return data_->packed; }

std::span<const std::uint8_t> Placement::Owners(int layer, int expert) const {
  CONCLAVE_CHECK(layer >= 0 && layer < moe_layers() && expert >= 0 && expert < experts(),
                 "layer %d expert %d", layer, expert);
  const ExpertOwners& owners = data_->all[static_cast<std::size_t>(layer * experts() + expert)];
  return {owners.slots.data(), owners.size()};
}

Slot Placement::ServerFor(int layer, int expert, Slot home) const {
  const auto owners = Owners(layer, expert);
  CONCLAVE_CHECK(!owners.empty(), "layer %d expert %d has no owner", layer, expert);
  if (owners.size() == 1) return Slot{owners.front()};
  const auto& shares = data_->all[static_cast<std::size_t>(layer * experts() + expert)].shares;
  int rank = homes().empty() ? home.value : homes().CountBelow(home);
  int shares_all = 0;
  for (std::size_t i = 0; i < owners.size(); ++i) {
    if (owners[i] == home.value) return home;
    rank -= owners[i] < home.value && homes().Has(Slot{owners[i]}) ? 1 : 0;
    shares_all += shares[i];
  }
  // Which home comes first differs from expert to expert, so that no pair of workers carries more
  // of the exchange than another.
  const int turn = rank + layer + expert;
  if (shares_all == 0) return Slot{owners[static_cast<std::size_t>(turn) % owners.size()]};
  int left = turn % shares_all;
  std::size_t i = 0;
  while (left >= shares[i]) left -= shares[i++];
  return Slot{owners[i]};
}

std::span<const std::uint16_t> Placement::OwnedBy(int layer, Slot slot) const {
  CONCLAVE_CHECK(layer >= 0 && layer < moe_layers() && slot.value >= 0 && slot.value < kSlotsMax,
                 "layer %d slot %d", layer, slot.value);
  const auto* const begin = data_->owned_begin.data() +
                            static_cast<std::size_t>(layer) * kLayerEnds +
                            static_cast<std::size_t>(slot.value);
  return std::span(data_->owned).subspan(begin[0], begin[1] - begin[0]);
}

int Placement::CountOwnedBy(Slot slot) const {
  CONCLAVE_CHECK(slot.value >= 0 && slot.value < kSlotsMax, "slot %d", slot.value);
  return data_->owned_count[static_cast<std::size_t>(slot.value)];
}

std::uint64_t Placement::Digest() const {
  const std::uint64_t owners = HashBytes(std::as_bytes(all()));
  const std::uint64_t shape = Mix(static_cast<std::uint64_t>(moe_layers()),
                                  static_cast<std::uint64_t>(experts()));
  return Mix(Mix(Mix(owners, shape), homes().bits[0]), homes().bits[1]);
}

bool operator==(const Placement& a, const Placement& b) {
  if (a.data_ == b.data_) return true;
  return a.data_->moe_layers == b.data_->moe_layers && a.data_->experts == b.data_->experts &&
         a.data_->homes == b.data_->homes && a.data_->all == b.data_->all;
}

absl::StatusOr<Placement> Placement::Unpack(int moe_layers, int experts,
                                            const PackedPlacement& packed) {
  const std::size_t pairs = PairsOf(moe_layers, experts);
  std::vector<ExpertOwners> all(pairs);
  std::size_t at = 0, share = 0;
  for (ExpertOwners& owners : all) {
    for (std::size_t count = 0;; ++count) {
      if (at == packed.owners.size()) return absl::InvalidArgumentError("owners end too early");
      const auto byte = static_cast<std::uint8_t>(packed.owners[at++]);
      if (byte == kUnowned && count == 0) break;
      const auto slot = static_cast<std::uint8_t>(byte & ~kLast);
      if (count == kReplicasMax || (count > 0 && slot <= owners.slots[count - 1])) {
        return absl::InvalidArgumentError(
            absl::StrCat("owner ", at - 1, " is one too many, or out of order"));
      }
      owners.slots[count] = slot;
      if ((byte & kLast) != 0) break;
    }
    const std::size_t count = owners.size();
    if (packed.shares.empty() || count < 2) continue;
    if (packed.shares.size() - share < count) {
      return absl::InvalidArgumentError("shares end too early");
    }
    for (std::size_t i = 0; i < count; ++i) {
      owners.shares[i] = static_cast<std::uint8_t>(packed.shares[share++]);
    }
  }
  if (at != packed.owners.size() || share != packed.shares.size()) {
    return absl::InvalidArgumentError("more owners or shares than experts have");
  }
  PlacementBuilder builder(moe_layers, experts, std::move(all));
  SlotSet homes;
  for (const char home : packed.homes) {
    if (static_cast<std::uint8_t>(home) >= kSlotsMax) {
      return absl::InvalidArgumentError("a home is no slot");
    }
    homes.Add(Slot{home});
  }
  builder.SetHomes(homes);
  return builder.Build();
}

PlacementBuilder::PlacementBuilder(int moe_layers, int experts)
    : PlacementBuilder(moe_layers, experts,
                       std::vector<ExpertOwners>(PairsOf(moe_layers, experts))) {}

PlacementBuilder::PlacementBuilder(const Placement& from)
    : moe_layers_(from.moe_layers()),
      experts_(from.experts()),
      all_(from.all().begin(), from.all().end()),
      homes_(from.homes()) {}

PlacementBuilder::PlacementBuilder(int moe_layers, int experts, std::vector<ExpertOwners> all)
    : moe_layers_(moe_layers), experts_(experts), all_(std::move(all)) {
  CONCLAVE_CHECK(all_.size() == PairsOf(moe_layers, experts), "%zu experts", all_.size());
}

ExpertOwners& PlacementBuilder::At(int layer, int expert) {
  CONCLAVE_CHECK(layer >= 0 && layer < moe_layers_ && expert >= 0 && expert < experts_,
                 "layer %d expert %d", layer, expert);
  return all_[static_cast<std::size_t>(layer * experts_ + expert)];
}

void PlacementBuilder::AddOwner(int layer, int expert, Slot slot) {
  ExpertOwners& owners = At(layer, expert);
  const std::size_t count = owners.size();
  CONCLAVE_CHECK(count < kReplicasMax && slot.value >= 0 && slot.value < kSlotsMax, "slot %d",
                 slot.value);
  const auto id = static_cast<std::uint8_t>(slot.value);
  auto* const end = owners.slots.data() + count;
  auto* const at = std::lower_bound(owners.slots.data(), end, id);
  CONCLAVE_CHECK(at == end || *at != id, "slot %d owns layer %d expert %d already", slot.value,
                 layer, expert);
  std::move_backward(at, end, end + 1);
  *at = id;
}

void PlacementBuilder::ClearOwners(int layer, int expert) { At(layer, expert) = ExpertOwners{}; }

void PlacementBuilder::SetShares(int layer, int expert, std::span<const std::uint8_t> shares) {
  ExpertOwners& owners = At(layer, expert);
  CONCLAVE_CHECK(shares.size() == owners.size(), "%zu shares", shares.size());
  owners.shares = {};
  std::ranges::copy(shares, owners.shares.begin());
}

Placement PlacementBuilder::Build() const& { return PlacementBuilder(*this).Take(); }
Placement PlacementBuilder::Build() && { return Take(); }

Placement PlacementBuilder::Take() {
  auto data = std::make_shared<Placement::Data>();
  data->moe_layers = moe_layers_;
  data->experts = experts_;
  data->all = std::move(all_);
  data->homes = homes_;
  data->Index();
  return Placement(std::move(data));
}

}  // namespace conclave
