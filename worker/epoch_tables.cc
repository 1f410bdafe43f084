#include "worker/epoch_tables.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace conclave {
namespace {

absl::Status CheckPlacement(const Placement& placement, const ModelConfig& model,
                            const std::vector<Slot>& slots) {
  if (model.moe_layers == 0) return absl::OkStatus();
  if (placement.moe_layers() != model.moe_layers || placement.experts() != model.experts) {
    return absl::InvalidArgumentError(
        absl::StrCat("placement of ", placement.moe_layers(), " layers of ", placement.experts(),
                     " experts; the model has ", model.moe_layers, " of ", model.experts));
  }
  for (int l = 0; l < model.moe_layers; ++l) {
    for (int e = 0; e < model.experts; ++e) {
      const auto owners = placement.Owners(l, e);
      if (owners.empty()) {
        return absl::InvalidArgumentError(
            absl::StrCat("placement: layer ", l, " expert ", e, " has no owner"));
      }
      for (const std::uint8_t owner : owners) {
        if (std::ranges::binary_search(slots, Slot{owner})) continue;
        return absl::InvalidArgumentError(
            absl::StrCat("placement: layer ", l, " expert ", e, " on slot ", owner, ", no peer"));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<EpochTables> EpochTables::Make(const Args& args) {
  std::vector<Slot> slots;
  int self = -1;
  for (const ViewPeer& peer : args.prepare.peers) {
    if (peer.slot.value < 0 || peer.slot.value >= kSlotsMax ||
        (!slots.empty() && peer.slot <= slots.back())) {
      return absl::InvalidArgumentError(
          absl::StrCat("peers: slot ", peer.slot.value, " is out of range or out of order"));
    }
    if (peer.uuid == args.uuid) self = static_cast<int>(slots.size());
    slots.push_back(peer.slot);
  }
  if (self < 0) {
    return absl::InvalidArgumentError(absl::StrCat("peers: ", args.uuid, " is not among them"));
  }
  RETURN_IF_ERROR(CheckPlacement(args.prepare.placement, args.model, slots));
  return EpochTables(args, std::move(slots), self);
}

EpochTables::EpochTables(const Args& args, std::vector<Slot> slots, int self)
    : epoch_(args.prepare.epoch),
      slots_(std::move(slots)),
      self_(self),
      experts_(args.model.experts),
      placement_(args.prepare.placement),
      dispatch_(args.rows_max, std::max(1, args.model.topk), static_cast<int>(slots_.size())) {
  for (int l = 0; l < args.model.moe_layers; ++l) {
    for (int e = 0; e < experts_; ++e) {
      const int server = PeerAt(placement_.ServerFor(l, e, slot(self_)));
      servers_.push_back(static_cast<std::uint8_t>(server));
    }
  }
}

int EpochTables::PeerAt(Slot slot) const {
  const auto at = std::ranges::lower_bound(slots_, slot);
  return at == slots_.end() || *at != slot ? -1 : static_cast<int>(at - slots_.begin());
}

std::span<const std::uint8_t> EpochTables::Servers(int moe_layer) const {
  const auto experts = static_cast<std::size_t>(experts_);
  return std::span(servers_).subspan(static_cast<std::size_t>(moe_layer) * experts, experts);
}

std::span<const std::uint16_t> EpochTables::Owned(int moe_layer, int peer) const {
  return placement_.OwnedBy(moe_layer, slot(peer));
}

}  // namespace conclave
