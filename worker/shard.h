// This worker's weights, packed for its kernel set. What every row of its own needs is packed once
// (role kWorker); experts come and go with placements. Embedding rows are never packed: they are
// read where the checkpoint keeps them.
#pragma once

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

// Packed bytes done of bytes in all; called from one of the lanes at a time, now and then.
using LoadProgressFn = std::function<void(std::uint64_t done, std::uint64_t total)>;

class Shard {
 public:
  // Everything here outlives the shard.
  struct Args {
    const ModelConfig& model;
    const TensorSource& tensors;
    const KernelSet& kernels;
    Role role = Role::kWorker;
    Lanes& lanes;
    Memory& memory = SharedHeap();
    LoadProgressFn progress;  // may be empty
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
  // tensor.
  static absl::StatusOr<std::unique_ptr<Shard>> Load(const Args& args);

  // Afterwards exactly the experts that `placement` gives to `slot` are held: missing ones are
  // packed, in parallel over experts, others released first. On error the shard holds a part of
  // them and the call may be repeated. Not while a step runs.
  absl::Status LoadMissingExperts(const Placement& placement, Slot slot);

  const Layer& layer(int index) const { return layers_[static_cast<std::size_t>(index)]; }
  const TensorView& embedding() const { return embedding_; }  // [vocab, hidden], as stored
  std::span<const float> final_norm() const { return final_norm_; }
  const PackedMatrix& head() const { return head_; }  // [vocab, hidden]

  bool Holds(int moe_layer, int expert) const { return BlockOf(moe_layer, expert).held(); }
  // data is null when the expert is not held.
  PackedFfn Expert(int moe_layer, int expert) const { return {BlockOf(moe_layer, expert).data()}; }
  std::uint64_t expert_bytes() const;                     // of all experts held
  std::uint64_t one_expert_bytes() const;                 // of one, as packed
  std::uint64_t shared_bytes() const { return shared_; }  // packed, experts not counted
  const ModelConfig& model() const { return args_.model; }

 private:
  explicit Shard(const Args& args);
  absl::Status LoadShared();
  absl::Status LoadLayer(int index);
  absl::StatusOr<PackedMatrix> PackRoles(std::span<const TensorRole> roles, int layer);
  absl::StatusOr<PackedFfn> PackDense(int layer);
  absl::StatusOr<TensorView> Find(TensorRole role, int layer, int expert = -1) const;
  void LetGo(const TensorView& view) const;
  absl::StatusOr<std::vector<float>> Vector(TensorRole role, int layer) const;
  absl::StatusOr<std::byte*> TakeShared(std::size_t bytes);
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
};

}  // namespace conclave
