// The part of the shard that changes with the placement.
#include <algorithm>
#include <atomic>

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

std::uint64_t Shard::expert_bytes() const {
  const auto held = std::ranges::count_if(experts_, [](const MemoryBlock& b) { return b.held(); });
  return one_expert_bytes() * static_cast<std::uint64_t>(held);
}

absl::Status Shard::LoadMissingExperts(const Placement& placement, Slot slot) {
  const auto layers = static_cast<int>(moe_layers_.size());
  const int experts = args_.model.experts;
  if (layers > 0 && (placement.moe_layers() != layers || placement.experts() != experts)) {
    return absl::InvalidArgumentError(
        absl::StrCat("placement of ", placement.moe_layers(), " layers of ", placement.experts(),
                     " experts; the model has ", layers, " of ", experts));
  }
  struct Missing {
    std::size_t index;
    PackFfnArgs pack;
  };
  std::vector<Missing> missing;
  for (int l = 0; l < layers; ++l) {
    const std::vector<std::uint16_t> owned = placement.OwnedBy(l, slot);
    for (int e = 0; e < experts; ++e) {
      const auto index = static_cast<std::size_t>(l * experts + e);
      if (!std::ranges::binary_search(owned, static_cast<std::uint16_t>(e))) {
        const MemoryBlock released = std::move(experts_[index]);  // gone before others come
      } else if (!experts_[index].held()) {
        Missing one{index, {}};
        ASSIGN_OR_RETURN(one.pack.gate, Find(TensorRole::kExpertGate, LayerOfMoe(l), e));
        ASSIGN_OR_RETURN(one.pack.up, Find(TensorRole::kExpertUp, LayerOfMoe(l), e));
        ASSIGN_OR_RETURN(one.pack.down, Find(TensorRole::kExpertDown, LayerOfMoe(l), e));
        missing.push_back(one);
      }
    }
  }
  std::vector<MemoryBlock> taken;  // the shard's only once all are packed
  const std::uint64_t each = one_expert_bytes();
  for (Missing& one : missing) {
    ASSIGN_OR_RETURN(MemoryBlock block, MemoryBlock::From(args_.memory, each));
    one.pack.out = block.data();
    taken.push_back(std::move(block));
  }
  std::atomic<std::uint64_t> done{0};
  args_.lanes.Run([&](const Lane& lane) {
    for (auto i = lane.Take(); i < static_cast<std::int64_t>(missing.size()); i = lane.Take()) {
      const PackFfnArgs& pack = missing[static_cast<std::size_t>(i)].pack;
      args_.kernels.pack_ffn(pack);
      for (const TensorView& packed : {pack.gate, pack.up, pack.down}) LetGo(packed);
      const std::uint64_t bytes = done.fetch_add(each, std::memory_order_relaxed) + each;
      if (lane.index == 0 && args_.progress) args_.progress(bytes, each * missing.size());
    }
  });
  for (std::size_t i = 0; i < missing.size(); ++i) {
    experts_[missing[i].index] = std::move(taken[i]);
  }
  if (args_.progress) args_.progress(each * missing.size(), each * missing.size());
  return absl::OkStatus();
}

}  // namespace conclave
