#include "model/tensors.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace conclave {
namespace {

bool InLayer(TensorRole role) {
  return role != TensorRole::kEmbedding && role != TensorRole::kFinalNorm &&
         role != TensorRole::kHead;
}

bool OfExpert(TensorRole role) {
  return role == TensorRole::kExpertGate || role == TensorRole::kExpertUp ||
         role == TensorRole::kExpertDown;
}

// What follows "model.layers.L." or "model.layers.L.mlp.experts.E.", or the whole name outside
// layers.
const char* Suffix(TensorRole role) {
  switch (role) {
    case TensorRole::kEmbedding:
      return "model.embed_tokens.weight";
    case TensorRole::kAttentionNorm:
      return "input_layernorm.weight";
    case TensorRole::kQ:
      return "self_attn.q_proj.weight";
    case TensorRole::kK:
      return "self_attn.k_proj.weight";
    case TensorRole::kV:
      return "self_attn.v_proj.weight";
    case TensorRole::kO:
      return "self_attn.o_proj.weight";
    case TensorRole::kQNorm:
      return "self_attn.q_norm.weight";
    case TensorRole::kKNorm:
      return "self_attn.k_norm.weight";
    case TensorRole::kFfnNorm:
      return "post_attention_layernorm.weight";
    case TensorRole::kRouter:
      return "mlp.gate.weight";
    case TensorRole::kGate:
      return "mlp.gate_proj.weight";
    case TensorRole::kUp:
      return "mlp.up_proj.weight";
    case TensorRole::kDown:
      return "mlp.down_proj.weight";
    case TensorRole::kExpertGate:
      return "gate_proj.weight";
    case TensorRole::kExpertUp:
      return "up_proj.weight";
    case TensorRole::kExpertDown:
      return "down_proj.weight";
    case TensorRole::kFinalNorm:
      return "model.norm.weight";
    case TensorRole::kHead:
      return "lm_head.weight";
  }
  return "?";
}

// Rows and columns of a role; a vector has 0 columns here.
std::pair<int, int> Extent(const ModelConfig& c, TensorRole role) {
  switch (role) {
    case TensorRole::kEmbedding:
    case TensorRole::kHead:
      return {c.vocab, c.hidden};
    case TensorRole::kAttentionNorm:
    case TensorRole::kFfnNorm:
    case TensorRole::kFinalNorm:
      return {c.hidden, 0};
    case TensorRole::kQ:
      return {c.q_width(), c.hidden};
    case TensorRole::kK:
    case TensorRole::kV:
      return {c.kv_width(), c.hidden};
    case TensorRole::kO:
      return {c.hidden, c.q_width()};
    case TensorRole::kQNorm:
    case TensorRole::kKNorm:
      return {c.head_dim, 0};
    case TensorRole::kRouter:
      return {c.experts, c.hidden};
    case TensorRole::kGate:
    case TensorRole::kUp:
      return {c.ffn_width, c.hidden};
    case TensorRole::kDown:
      return {c.hidden, c.ffn_width};
    case TensorRole::kExpertGate:
    case TensorRole::kExpertUp:
      return {c.expert_width, c.hidden};
    case TensorRole::kExpertDown:
      return {c.hidden, c.expert_width};
  }
  return {0, 0};
}

class List {
 public:
  explicit List(const ModelConfig& config) : config_(config) {}

  void Add(TensorRole role, int layer = -1, int expert = -1) {
    const auto [rows, cols] = Extent(config_, role);
    TensorSpec spec{TensorName(config_, role, layer, expert), role, layer, expert, {rows, 1}, 1};
    if (cols != 0) {
      spec.shape[1] = cols;
      spec.rank = 2;
    }
    specs_.push_back(std::move(spec));
  }

  void AddLayer(int layer) {
    for (const TensorRole role : {TensorRole::kAttentionNorm, TensorRole::kQ, TensorRole::kK,
                                  TensorRole::kV, TensorRole::kO}) {
      Add(role, layer);
    }
    if (config_.qk_norm) {
      Add(TensorRole::kQNorm, layer);
      Add(TensorRole::kKNorm, layer);
    }
    Add(TensorRole::kFfnNorm, layer);
    if (config_.layers[static_cast<std::size_t>(layer)].ffn == FfnKind::kDense) {
      for (const TensorRole role : {TensorRole::kGate, TensorRole::kUp, TensorRole::kDown})
        Add(role, layer);
      return;
    }
    Add(TensorRole::kRouter, layer);
    for (int e = 0; e < config_.experts; ++e) {
      for (const TensorRole role :
           {TensorRole::kExpertGate, TensorRole::kExpertUp, TensorRole::kExpertDown}) {
        Add(role, layer, e);
      }
    }
  }

  std::vector<TensorSpec> Take() { return std::move(specs_); }

 private:
  const ModelConfig& config_;
  std::vector<TensorSpec> specs_;
};

}  // namespace

std::string TensorName(const ModelConfig& config, TensorRole role, int layer, int expert) {
  if (!InLayer(role)) return Suffix(role);
  CONCLAVE_CHECK(layer >= 0 && layer < static_cast<int>(config.layers.size()), "layer %d", layer);
  if (!OfExpert(role)) return absl::StrCat("model.layers.", layer, ".", Suffix(role));
  CONCLAVE_CHECK(expert >= 0 && expert < config.experts, "expert %d", expert);
  return absl::StrCat("model.layers.", layer, ".mlp.experts.", expert, ".", Suffix(role));
}

std::vector<TensorSpec> TensorsOf(const ModelConfig& config) {
  List list(config);
  list.Add(TensorRole::kEmbedding);
  for (int layer = 0; layer < static_cast<int>(config.layers.size()); ++layer) list.AddLayer(layer);
  list.Add(TensorRole::kFinalNorm);
  if (!config.tied_embeddings) list.Add(TensorRole::kHead);
  return list.Take();
}

}  // namespace conclave
