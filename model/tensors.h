// Which tensors a checkpoint of a family has, by name and shape: a pure function of the config.
// Loading, checking, inspecting, random checkpoints and placement estimates all read this one list;
// a new family is a new list.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/tensor_view.h"
#include "model/config.h"

namespace conclave {

// What a tensor is to the model. Linears are [out, in] row-major, y = W x.
enum class TensorRole : std::uint8_t {
  kEmbedding,      // [vocab, hidden]
  kAttentionNorm,  // [hidden]
  kQ,
  kK,
  kV,
  kO,  // [q_width, hidden] [kv_width, hidden] [kv_width, hidden] [hidden, q_width]
  kQNorm,
  kKNorm,    // [head_dim]
  kFfnNorm,  // [hidden]
  kRouter,   // [experts, hidden]
  kGate,
  kUp,
  kDown,  // dense: [ffn_width, hidden] x2, [hidden, ffn_width]
  kExpertGate,
  kExpertUp,
  kExpertDown,  // [expert_width, hidden] x2, [hidden, expert_width]
  kFinalNorm,   // [hidden]
  kHead,        // [vocab, hidden]; absent when tied
};

struct TensorSpec {
  std::string name;
  TensorRole role;
  int layer = -1;                       // -1: not in a layer
  int expert = -1;                      // -1: not an expert's
  std::array<std::int64_t, 2> shape{};  // vectors are [n, 1] here, rank 1 in files
  int rank = 2;
};

std::vector<TensorSpec> TensorsOf(
    const ModelConfig& config);  // in file order: embedding, layers, norm, head
std::string TensorName(const ModelConfig& config, TensorRole role, int layer, int expert);

// Where a worker finds its weights. Implemented by model/edge (mapped safetensors) and by tests and
// the simulator (arrays in memory). Find: NotFound names the tensor. The view lives as long as the
// source. Thread-safe.
class TensorSource {
 public:
  virtual ~TensorSource() = default;
  virtual absl::StatusOr<TensorView> Find(const std::string& name) const = 0;

  // Hints about part of a view, of no consequence for what is read: it will be wanted soon; this
  // process is done with it for now (a mapped file's pages then no longer count as this process's
  // memory).
  virtual void Prefetch(std::span<const std::byte>) const {}
  virtual void Release(std::span<const std::byte>) const {}
};

}  // namespace conclave
