#include "worker/edge/trial.h"

#include <array>
#include <vector>

namespace conclave {
namespace {

// Remembers who was heard.
class Ear final : public FrameSink {
 public:
  std::span<std::byte> Reserve(Slot from, std::size_t bytes) override {
    if (bytes > room_.size()) return {};
    heard_.Add(from);
    return std::span(room_).first(bytes);
  }
  const SlotSet& heard() const { return heard_; }

 private:
  alignas(64) std::array<std::byte, 64> room_{};
  SlotSet heard_;
};

}  // namespace

ConnectedAside TryEpoch(ExchangeBackend& backend, const EpochView& view, Micros limit) {
  ConnectedAside tried{view.epoch, backend.Open(view, limit), {}};
  if (!tried.status.ok()) {
    tried.unreachable = PeersOf(tried.status);
    return tried;
  }
  std::vector<OutFrame> nothing;
  for (const Peer& peer : view.peers) {
    if (peer.slot != view.self) nothing.push_back({.to = peer.slot, .bytes = {}});
  }
  Ear ear;
  tried.status = backend.Exchange(nothing, ear, limit);
  if (tried.status.ok()) {
    tried.status = backend.StandbyAddress().status();
    return tried;
  }
  tried.unreachable = PeersOf(tried.status);
  if (absl::IsDeadlineExceeded(tried.status)) {
    for (const Peer& peer : view.peers) {
      if (peer.slot != view.self && !ear.heard().Has(peer.slot)) tried.unreachable.Add(peer.slot);
    }
  }
  return tried;
}

}  // namespace conclave
