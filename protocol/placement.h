// Which workers own which experts: the owners of each (MoE layer, expert), replicas included, and
// how the rows of other workers are divided among the owners.
//
// A Placement is a value that never changes once it is made and costs a pointer to copy: the state,
// a Prepare for 128 workers and a worker's tables share one. PlacementBuilder makes one.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "base/limits.h"
#include "base/slot_set.h"

namespace conclave {

inline constexpr std::uint8_t kNoOwner = 0xff;

// The owners of one (MoE layer, expert).
struct ExpertOwners {
  // Rising; kNoOwner behind the last.
  std::array<std::uint8_t, kReplicasMax> slots{kNoOwner, kNoOwner, kNoOwner, kNoOwner};
  // Of the homes that own no copy, how many each owner serves. All 0: they take turns.
  std::array<std::uint8_t, kReplicasMax> shares{};

  // kNoOwner is all ones, and nothing follows it.
  std::size_t size() const {
    return kReplicasMax - static_cast<std::size_t>(std::countl_one(Bits()) / 8);
  }
  bool Has(int slot) const {
    const auto id = static_cast<std::uint8_t>(slot);
    return slots[0] == id || slots[1] == id || slots[2] == id || slots[3] == id;
  }
  friend bool operator==(const ExpertOwners&, const ExpertOwners&) = default;

 private:
  static_assert(kReplicasMax == 4);
  // The first owner in the lowest byte, whatever the machine's byte order.
  std::uint32_t Bits() const {
    return std::uint32_t{slots[0]} | std::uint32_t{slots[1]} << 8 | std::uint32_t{slots[2]} << 16 |
           std::uint32_t{slots[3]} << 24;
  }
};

// A placement as the wire has it. See protocol/codec.cc for the fields.
struct PackedPlacement {
  // One byte per owner, in the order of layers, experts and slots; the highest bit is set in the
  // last owner of an expert. 0x7f: no owner (slot 127 can only be the last one).
  std::string owners;
  std::string shares;  // one byte per owner of an expert with several; empty when all are 0
  std::string homes;   // one byte per home, rising
};

class Placement {
 public:
  Placement();  // of no layers
  Placement(int moe_layers, int experts);  // without any owner

  int moe_layers() const;
  int experts() const;
  // Owners in rising slot order, 0..kReplicasMax of them; no owner means the layer cannot run.
  std::span<const std::uint8_t> Owners(int layer, int expert) const;
  // All of them, [moe layers, experts].
  std::span<const ExpertOwners> all() const;
  bool Complete() const;  // every expert of every layer has an owner
  // Workers whose own sequences make rows. Empty when nobody said.
  const SlotSet& homes() const;

  // Who serves `expert` for rows whose home is `home`: home itself if it owns it, else the owner
  // whose share `home` falls into, counted over the homes that own no copy. CHECKs that there is an
  // owner.
  Slot ServerFor(int layer, int expert, Slot home) const;
  // Experts of a layer that `slot` owns, rising. Valid while a copy of this placement lives.
  std::span<const std::uint16_t> OwnedBy(int layer, Slot slot) const;
  int CountOwnedBy(Slot slot) const;  // (MoE layer, expert) pairs, over all layers
  std::uint64_t Digest() const;

  const PackedPlacement& packed() const;
  // InvalidArgument says what is malformed.
  static absl::StatusOr<Placement> Unpack(int moe_layers, int experts,
                                          const PackedPlacement& packed);

  friend bool operator==(const Placement& a, const Placement& b);

 private:
  friend class PlacementBuilder;
  struct Data;
  explicit Placement(std::shared_ptr<const Data> data);
  std::shared_ptr<const Data> data_;
};

class PlacementBuilder {
 public:
  PlacementBuilder(int moe_layers, int experts);
  explicit PlacementBuilder(const Placement& from);
  // Takes owners as they are: rising, without doubles. [moe layers, experts]
  PlacementBuilder(int moe_layers, int experts, std::vector<ExpertOwners> all);

  void AddOwner(int layer, int expert, Slot slot);  // keeps the order; CHECKs that there is room
  void ClearOwners(int layer, int expert);
  void SetShares(int layer, int expert, std::span<const std::uint8_t> shares);  // as Owners
  void SetHomes(const SlotSet& homes) { homes_ = homes; }
  Placement Build() const&;
  Placement Build() &&;

 private:
  Placement Take();
  ExpertOwners& At(int layer, int expert);

  int moe_layers_;
  int experts_;
  std::vector<ExpertOwners> all_;
  SlotSet homes_;
};

}  // namespace conclave
