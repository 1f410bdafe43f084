// Which workers own which experts: one list of owners per (MoE layer, expert), replicas included.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.h"
#include "base/limits.h"

namespace conclave {

class Placement {
 public:
  Placement() = default;
  Placement(int moe_layers, int experts);

  int moe_layers() const { return moe_layers_; }
  int experts() const { return experts_; }
  // Owners in rising order of worker ids, 0..kReplicasMax of them. Without an owner the layer cannot
  // run.
  std::span<const std::uint8_t> Owners(int layer, int expert) const;
  void AddOwner(int layer, int expert, Slot slot);  // keeps the order; CHECKs that there is room
  bool Complete() const;                            // every expert of every layer has an owner

  // The worker that serves `expert` for rows whose home worker is `home`: home itself if it is an
  // owner, else an owner chosen by a fixed rule from (home, expert), so that replicas share the
  // load. CHECKs that there is an owner.
  Slot ServerFor(int layer, int expert, Slot home) const;
  // The experts of a layer that worker `slot` owns, rising.
  std::vector<std::uint16_t> OwnedBy(int layer, Slot slot) const;
  std::uint64_t Digest() const;

  // Flat form for the wire: kReplicasMax bytes per (layer, expert), 0xff where empty.
  const std::vector<std::uint8_t>& flat() const { return owners_; }
  static Placement FromFlat(int moe_layers, int experts, std::vector<std::uint8_t> flat);

  friend bool operator==(const Placement&, const Placement&) = default;

 private:
  int moe_layers_ = 0;
  int experts_ = 0;
  std::vector<std::uint8_t> owners_;
};

}  // namespace conclave
