#include "worker/shard.h"

#include <array>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace conclave {

Shard::Shard(const Args& args) : args_(args) {
  for (std::size_t l = 0; l < args.model.layers.size(); ++l) {
    if (args.model.layers[l].ffn == FfnKind::kMoe) moe_layers_.push_back(static_cast<int>(l));
  }
  experts_.resize(moe_layers_.size() * static_cast<std::size_t>(args.model.experts));
}

absl::StatusOr<std::unique_ptr<Shard>> Shard::Load(const Args& args, Lanes& lanes) {
  if (args.model.qkv_bias) {
    return absl::FailedPreconditionError("qkv biases: this model family is not served");
  }
  std::unique_ptr<Shard> shard(new Shard(args));
  if (args.role == Role::kWorker) RETURN_IF_ERROR(shard->LoadShared(lanes));
  return shard;
}

absl::StatusOr<TensorView> Shard::Find(TensorRole role, int layer, int expert) const {
  return args_.tensors.Find(TensorName(args_.model, role, layer, expert));
}

// A vector, widened exactly: it is a table with one row.
absl::StatusOr<std::vector<float>> Shard::Vector(TensorRole role, int layer,
                                                 Lanes& lanes) const {
  ASSIGN_OR_RETURN(TensorView view, Find(role, layer));
  const std::int64_t length = view.rows * view.cols;
  view.rows = 1;
  view.cols = length;
  std::vector<float> values(static_cast<std::size_t>(length));
  const TokenId first = 0;
  lanes.Run([&](const Lane& lane) {
    args_.kernels.embed(
        {.ids = {&first, 1}, .table = view, .out = {values.data(), 1, length, length}}, lane);
  });
  return values;
}

absl::StatusOr<std::byte*> Shard::TakeShared(std::size_t bytes) {
  ASSIGN_OR_RETURN(MemoryBlock block, MemoryBlock::From(args_.memory, bytes));
  shared_blocks_.push_back(std::move(block));
  shared_ += bytes;
  return shared_blocks_.back().data();
}

// Packed weights are copies: the file's pages need not count as this process's memory any longer.
void Shard::LetGo(const TensorView& view) const {
  args_.tensors.Release({view.data, view.bytes()});
}

// Matrices of these roles stacked along n: q, k and v become one product.
absl::StatusOr<PackedMatrix> Shard::PackRoles(std::span<const TensorRole> roles, int layer,
                                              Lanes& lanes) {
  std::array<TensorView, 3> views;
  PackedMatrix packed;
  for (std::size_t i = 0; i < roles.size(); ++i) {
    ASSIGN_OR_RETURN(views[i], Find(roles[i], layer));
    packed.n += views[i].rows;
    packed.k = views[i].cols;
  }
  ASSIGN_OR_RETURN(std::byte * out, TakeShared(args_.kernels.packed_bytes(packed.n, packed.k)));
  packed.data = out;
  lanes.Run([&](const Lane& lane) {
    args_.kernels.pack({.sources = {views.data(), roles.size()}, .out = out}, lane);
  });
  for (std::size_t i = 0; i < roles.size(); ++i) LetGo(views[i]);
  return packed;
}

absl::StatusOr<PackedFfn> Shard::PackDense(int layer) {
  PackFfnArgs pack{};
  ASSIGN_OR_RETURN(pack.gate, Find(TensorRole::kGate, layer));
  ASSIGN_OR_RETURN(pack.up, Find(TensorRole::kUp, layer));
  ASSIGN_OR_RETURN(pack.down, Find(TensorRole::kDown, layer));
  ASSIGN_OR_RETURN(pack.out,
                   TakeShared(args_.kernels.packed_ffn_bytes(pack.gate.cols, pack.gate.rows)));
  args_.kernels.pack_ffn(pack);
  for (const TensorView& packed : {pack.gate, pack.up, pack.down}) LetGo(packed);
  return PackedFfn{pack.out};
}

absl::Status Shard::LoadLayer(int index, Lanes& lanes) {
  Layer layer;
  ASSIGN_OR_RETURN(layer.attention_norm, Vector(TensorRole::kAttentionNorm, index, lanes));
  ASSIGN_OR_RETURN(layer.ffn_norm, Vector(TensorRole::kFfnNorm, index, lanes));
  if (args_.model.qk_norm) {
    ASSIGN_OR_RETURN(layer.q_norm, Vector(TensorRole::kQNorm, index, lanes));
    ASSIGN_OR_RETURN(layer.k_norm, Vector(TensorRole::kKNorm, index, lanes));
  }
  constexpr std::array kQkv = {TensorRole::kQ, TensorRole::kK, TensorRole::kV};
  constexpr std::array kO = {TensorRole::kO};
  constexpr std::array kRouter = {TensorRole::kRouter};
  ASSIGN_OR_RETURN(layer.qkv, PackRoles(kQkv, index, lanes));
  ASSIGN_OR_RETURN(layer.o, PackRoles(kO, index, lanes));
  if (args_.model.layers[static_cast<std::size_t>(index)].ffn == FfnKind::kMoe) {
    ASSIGN_OR_RETURN(layer.router, PackRoles(kRouter, index, lanes));
  } else {
    ASSIGN_OR_RETURN(layer.dense, PackDense(index));
  }
  layers_.push_back(std::move(layer));
  return absl::OkStatus();
}

absl::Status Shard::LoadShared(Lanes& lanes) {
  const auto layers = static_cast<int>(args_.model.layers.size());
  layers_.reserve(static_cast<std::size_t>(layers));
  for (int l = 0; l < layers; ++l) {
    RETURN_IF_ERROR(LoadLayer(l, lanes));
    // The total is an estimate until the last layer is packed: all layers are much alike.
    if (args_.progress) {
      args_.progress(shared_, shared_ / static_cast<std::uint64_t>(l + 1) *
                                  static_cast<std::uint64_t>(layers));
    }
  }
  ASSIGN_OR_RETURN(embedding_, Find(TensorRole::kEmbedding, -1));
  ASSIGN_OR_RETURN(final_norm_, Vector(TensorRole::kFinalNorm, -1, lanes));
  const std::array head = {args_.model.tied_embeddings ? TensorRole::kEmbedding
                                                       : TensorRole::kHead};
  ASSIGN_OR_RETURN(head_, PackRoles(head, -1, lanes));
  if (args_.progress) args_.progress(shared_, shared_);
  return absl::OkStatus();
}

}  // namespace conclave
