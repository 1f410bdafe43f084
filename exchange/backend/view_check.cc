#include "exchange/backend/view_check.h"

#include "absl/strings/str_cat.h"
#include "base/limits.h"

namespace conclave {

absl::Status CheckView(const EpochView& view) {
  bool self_is_there = false;
  std::int32_t previous = -1;
  for (const Peer& peer : view.peers) {
    const std::int32_t slot = peer.slot.value;
    if (slot <= previous || slot >= kSlotsMax) {
      return absl::InvalidArgumentError(
          absl::StrCat("peers: slot ", slot, " after slot ", previous, " of at most ", kSlotsMax));
    }
    previous = slot;
    self_is_there = self_is_there || peer.slot == view.self;
  }
  if (self_is_there) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("peers: own slot ", view.self.value, " missing"));
}

absl::Status CheckSends(const EpochView& view, std::span<const OutFrame> sends) {
  std::size_t next = 0;
  for (const Peer& peer : view.peers) {
    if (peer.slot == view.self) continue;
    if (next == sends.size() || sends[next].to != peer.slot) {
      return absl::InvalidArgumentError(absl::StrCat("sends: no frame for slot ", peer.slot.value));
    }
    ++next;
  }
  if (next == sends.size()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("sends: a frame too many, for slot ", sends[next].to.value));
}

}  // namespace conclave
