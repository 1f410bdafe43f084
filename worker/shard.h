// This worker's weights, packed for its kernel set. What every row of its own needs is packed once
// (role kWorker); experts come and go with placements. Embedding rows are never packed: they are
// read where the checkpoint keeps them.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/kernel_set.h"
#include "kernels/lane.h"
#include "model/config.h"
#include "model/tensors.h"
#include "protocol/control.h"
#include "protocol/placement.h"
#include "worker/memory.h"

namespace conclave {

// Packed bytes done of bytes in all; called now and then, from one of the threads at a time.
using LoadProgressFn = std::function<void(std::uint64_t done, std::uint64_t total)>;

class Shard {
 public:
  // Everything here outlives the shard.
  struct Args {
    const ModelConfig& model;
    const TensorSource& tensors;
    const KernelSet& kernels;
    Role role = Role::kWorker;
    Lanes& lanes;  // the threads on which LoadMissingExperts packs
    Memory& memory = SharedHeap();
    LoadProgressFn progress;                // may be empty
    std::uint64_t expert_memory_bytes = 0;  // room for experts; 0: no limit but the memory's
  };
  // The experts that a placement gives to one worker.
  struct Share {
    const Placement& placement;
    Slot slot;
  };
  // An expert that is packed, but not in the shard yet.
  struct PackedExpert {
    std::size_t index = 0;
    MemoryBlock block;
  };

  struct Layer {
    std::vector<float> attention_norm;  // [hidden]
    std::vector<float> q_norm, k_norm;  // [head_dim], or empty
    std::vector<float> ffn_norm;        // [hidden]
    PackedMatrix qkv;                   // [q_width + 2 kv_width, hidden]
    PackedMatrix o;                     // [hidden, q_width]
    PackedMatrix router;                // [experts, hidden]; MoE layers
    PackedFfn dense;                    // dense layers
  };

  // Packs what every placement needs; no experts yet. Role kExpert: nothing. Errors name the
  // tensor. Packs on `lanes`, of which nothing is kept.
  static absl::StatusOr<std::unique_ptr<Shard>> Load(const Args& args, Lanes& lanes);
  static absl::StatusOr<std::unique_ptr<Shard>> Load(const Args& args) {
    return Load(args, args.lanes);
  }

  // Packs the missing experts of a share on all threads, as fast as they can. Experts outside of the
  // share are kept unless there is no room for both. After an error the shard still holds what it
  // held of the share, and the call may be repeated. Must not be called while a step runs.
  // ResourceExhausted gives the sizes. Cancelled: `stop` became true; what was packed stays.
  absl::Status LoadMissingExperts(const Placement& placement, Slot slot,
                                  const std::atomic<bool>& stop);
  absl::Status LoadMissingExperts(const Placement& placement, Slot slot) {
    return LoadMissingExperts(placement, slot, std::atomic<bool>(false));
  }

  // The same in small parts, for a thread that loads while steps run with other experts: list the
  // missing experts, Pack one after another, Put each. Missing, Room, Put, Trim and
  // LoadMissingExperts: one caller at a time. Pack: any thread. Meanwhile steps may use the experts
  // that the shard already holds.
  absl::StatusOr<std::vector<std::size_t>> Missing(const Share& share) const;  // InvalidArgument
  absl::Status Room(std::size_t experts) const;  // OK if that many more fit, or ResourceExhausted
  absl::StatusOr<PackedExpert> Pack(std::size_t index) const;
  void Put(PackedExpert expert);
  // Reserves memory for that many more experts, as far as the limit allows; see Memory::Stock.
  bool Stock(std::size_t experts) const;
  // Drops every expert that is in none of the shares. The caller gives the memory back.
  std::vector<MemoryBlock> Trim(std::span<const Share> keep);

  const Layer& layer(int index) const { return layers_[static_cast<std::size_t>(index)]; }
  const TensorView& embedding() const { return embedding_; }  // [vocab, hidden], as stored
  std::span<const float> final_norm() const { return final_norm_; }
  const PackedMatrix& head() const { return head_; }  // [vocab, hidden]

  bool Holds(int moe_layer, int expert) const { return BlockOf(moe_layer, expert).held(); }
  // data is null when the expert is not held.
  PackedFfn Expert(int moe_layer, int expert) const { return {BlockOf(moe_layer, expert).data()}; }
  // Of all experts held; any thread, any time.
  std::uint64_t expert_bytes() const { return held_bytes_.load(std::memory_order_relaxed); }
  std::uint64_t one_expert_bytes() const;                 // of one, as packed
  std::uint64_t shared_bytes() const { return shared_; }  // packed, experts not counted
  const ModelConfig& model() const { return args_.model; }

 private:
  explicit Shard(const Args& args);
  absl::Status LoadShared(Lanes& lanes);
  absl::Status LoadLayer(int index, Lanes& lanes);
  absl::StatusOr<PackedMatrix> PackRoles(std::span<const TensorRole> roles, int layer,
                                         Lanes& lanes);
  absl::StatusOr<PackedFfn> PackDense(int layer);
  absl::StatusOr<TensorView> Find(TensorRole role, int layer, int expert = -1) const;
  void LetGo(const TensorView& view) const;
  absl::StatusOr<std::vector<float>> Vector(TensorRole role, int layer, Lanes& lanes) const;
  absl::StatusOr<std::byte*> TakeShared(std::size_t bytes);
  absl::Status PackMissing(const Share& share, const std::atomic<bool>& stop);
  MemoryBlock Drop(std::size_t index);
  absl::Status CheckShape(const Placement& placement) const;
  absl::StatusOr<PackFfnArgs> SourcesOf(std::size_t index) const;
  const MemoryBlock& BlockOf(int moe_layer, int expert) const;
  int LayerOfMoe(int moe_layer) const { return moe_layers_[static_cast<std::size_t>(moe_layer)]; }

  Args args_;
  std::vector<int> moe_layers_;  // layer index of each MoE layer
  std::vector<Layer> layers_;
  TensorView embedding_;
  std::vector<float> final_norm_;
  PackedMatrix head_;
  std::vector<MemoryBlock> shared_blocks_;
  std::uint64_t shared_ = 0;
  std::vector<MemoryBlock> experts_;  // [moe layers, experts]
  std::atomic<std::uint64_t> held_bytes_{0};
};

}  // namespace conclave
