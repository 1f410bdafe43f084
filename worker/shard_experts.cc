// The part of the shard that changes with the placement.
#include <algorithm>
#include <array>
#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status.h"
#include "worker/shard.h"

namespace conclave {

const MemoryBlock& Shard::BlockOf(int moe_layer, int expert) const {
  CONCLAVE_CHECK(expert >= 0 && expert < args_.model.experts, "expert %d", expert);
  return experts_[static_cast<std::size_t>(moe_layer * args_.model.experts + expert)];
}

std::uint64_t Shard::one_expert_bytes() const {
  if (args_.model.experts == 0) return 0;
  return args_.kernels.packed_ffn_bytes(args_.model.hidden, args_.model.expert_width);
}

absl::Status Shard::CheckShape(const Placement& placement) const {
  const auto layers = static_cast<int>(moe_layers_.size());
  const int experts = args_.model.experts;
  if (layers == 0 || (placement.moe_layers() == layers && placement.experts() == experts)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("placement of ", placement.moe_layers(), " layers of ", placement.experts(),
                   " experts; the model has ", layers, " of ", experts));
}

absl::StatusOr<std::vector<std::size_t>> Shard::Missing(const Share& share) const {
  RETURN_IF_ERROR(CheckShape(share.placement));
  std::vector<std::size_t> missing;
  for (std::size_t l = 0; l < moe_layers_.size(); ++l) {
    for (const std::uint16_t expert : share.placement.OwnedBy(static_cast<int>(l), share.slot)) {
      const std::size_t index = l * static_cast<std::size_t>(args_.model.experts) + expert;
      if (!experts_[index].held()) missing.push_back(index);
    }
  }
  return missing;
}

absl::Status Shard::Room(std::size_t experts) const {
  const std::uint64_t wanted = one_expert_bytes() * experts;
  const std::uint64_t limit = args_.expert_memory_bytes;
  if (limit > 0 && expert_bytes() + wanted > limit) {
    return absl::ResourceExhaustedError(absl::StrCat("no room for ", wanted,
                                                     " bytes of experts beside ", expert_bytes(),
                                                     ": the limit is ", limit));
  }
  if (const std::uint64_t left = args_.memory.Left(); wanted > left) {
    return absl::ResourceExhaustedError(absl::StrCat("no room for ", wanted,
                                                     " bytes of experts beside ", expert_bytes(),
                                                     ": this machine has ", left, " bytes left"));
  }
  return absl::OkStatus();
}

absl::StatusOr<PackFfnArgs> Shard::SourcesOf(std::size_t index) const {
  const auto experts = static_cast<std::size_t>(args_.model.experts);
  const int layer = LayerOfMoe(static_cast<int>(index / experts));
  const auto expert = static_cast<int>(index % experts);
  PackFfnArgs pack{};
  ASSIGN_OR_RETURN(pack.gate, Find(TensorRole::kExpertGate, layer, expert));
  ASSIGN_OR_RETURN(pack.up, Find(TensorRole::kExpertUp, layer, expert));
  ASSIGN_OR_RETURN(pack.down, Find(TensorRole::kExpertDown, layer, expert));
  return pack;
}

absl::StatusOr<Shard::PackedExpert> Shard::Pack(std::size_t index) const {
  ASSIGN_OR_RETURN(PackFfnArgs pack, SourcesOf(index));
  ASSIGN_OR_RETURN(MemoryBlock block, MemoryBlock::From(args_.memory, one_expert_bytes()));
  pack.out = block.data();
  const std::array sources = {pack.gate, pack.up, pack.down};
  for (const TensorView& source : sources) args_.tensors.Prefetch({source.data, source.bytes()});
  args_.kernels.pack_ffn(pack);
  for (const TensorView& source : sources) LetGo(source);
  return PackedExpert{index, std::move(block)};
}

void Shard::Put(PackedExpert expert) {
  MemoryBlock& place = experts_[expert.index];
  if (place.held()) return;
  held_bytes_.fetch_add(one_expert_bytes(), std::memory_order_relaxed);
  place = std::move(expert.block);
}

bool Shard::Stock(std::size_t experts) const {
  const std::uint64_t each = one_expert_bytes();
  if (const std::uint64_t limit = args_.expert_memory_bytes; limit > 0) {
    const std::uint64_t held = expert_bytes();
    experts = std::min<std::uint64_t>(experts, limit > held ? (limit - held) / each : 0);
  }
  return args_.memory.Stock(each, experts);
}

std::vector<MemoryBlock> Shard::Trim(std::span<const Share> keep) {
  std::vector<bool> kept(experts_.size(), false);
  for (const Share& share : keep) {
    if (!CheckShape(share.placement).ok()) continue;
    for (std::size_t l = 0; l < moe_layers_.size(); ++l) {
      for (const std::uint16_t expert : share.placement.OwnedBy(static_cast<int>(l), share.slot)) {
        kept[l * static_cast<std::size_t>(args_.model.experts) + expert] = true;
      }
    }
  }
  std::vector<MemoryBlock> dropped;
  for (std::size_t i = 0; i < experts_.size(); ++i) {
    if (!kept[i] && experts_[i].held()) dropped.push_back(Drop(i));
  }
  return dropped;
}

MemoryBlock Shard::Drop(std::size_t index) {
  MemoryBlock dropped = std::move(experts_[index]);
  if (dropped.held()) held_bytes_.fetch_sub(one_expert_bytes(), std::memory_order_relaxed);
  return dropped;
}

absl::Status Shard::LoadMissingExperts(const Placement& placement, Slot slot,
                                       const std::atomic<bool>& stop) {
  const Share share{placement, slot};
  const absl::Status status = PackMissing(share, stop);
  if (!absl::IsResourceExhausted(status)) return status;
  Trim({&share, 1}).clear();
  return PackMissing(share, stop);
}

// Each thread puts what it has packed: no two threads put the same expert.
absl::Status Shard::PackMissing(const Share& share, const std::atomic<bool>& stop) {
  ASSIGN_OR_RETURN(const std::vector<std::size_t> missing, Missing(share));
  RETURN_IF_ERROR(Room(missing.size()));
  const std::uint64_t all = one_expert_bytes() * missing.size();
  std::atomic<std::uint64_t> done{0};
  std::atomic<bool> failed{false};
  absl::Status failure;  // of the first that failed
  args_.lanes.Run([&](const Lane& lane) {
    for (auto i = lane.Take(); i < static_cast<std::int64_t>(missing.size()); i = lane.Take()) {
      if (failed.load(std::memory_order_relaxed) || stop.load(std::memory_order_relaxed)) return;
      absl::StatusOr<PackedExpert> packed = Pack(missing[static_cast<std::size_t>(i)]);
      if (!packed.ok()) {
        if (!failed.exchange(true)) failure = packed.status();
        return;
      }
      Put(*std::move(packed));
      const std::uint64_t bytes = done.fetch_add(one_expert_bytes()) + one_expert_bytes();
      if (lane.index == 0 && args_.progress) args_.progress(bytes, all);
    }
  });
  if (failed) {
    for (const std::size_t index : missing) Drop(index);
    return failure;
  }
  if (done < all) return absl::CancelledError("loading was stopped");
  if (args_.progress) args_.progress(all, all);
  return absl::OkStatus();
}

}  // namespace conclave
