// What a checkpoint's config.json and generation_config.json say, checked and in our own words.
// Formulas and file facts: transformers qwen3_moe / qwen3 (read from source); see
// docs/architecture.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/float_types.h"
#include "base/ids.h"

namespace conclave {

enum class Family : std::uint8_t { kQwen3Moe, kQwen3Dense };

// How rotary frequencies are scaled for contexts beyond training.
struct RopeScaling {
  enum class Kind : std::uint8_t { kNone, kLinear, kYarn };
  Kind kind = Kind::kNone;
  double factor = 1.0;
  double original_max_positions = 0;  // yarn
  double beta_fast = 32, beta_slow = 1;
  double attention_factor = 1.0;  // resolved: multiplies cos and sin
  bool truncate = true;
};

enum class FfnKind : std::uint8_t { kDense, kMoe };

struct LayerSpec {
  FfnKind ffn = FfnKind::kMoe;
  int moe_index = -1;  // position among the MoE layers; -1 for dense
};

struct ModelConfig {
  Family family = Family::kQwen3Moe;
  std::string name;        // directory's base name
  int hidden = 0;          // width of the residual stream
  int heads = 0;           // query heads
  int kv_heads = 0;        // key-value heads; heads % kv_heads == 0
  int head_dim = 0;        // even; not hidden / heads
  int ffn_width = 0;       // dense layers
  int expert_width = 0;    // MoE layers
  int experts = 0;         // per MoE layer; 0 for a dense model
  int topk = 0;            // experts per row
  bool norm_topk = false;  // weights of the winners divided by their sum
  int vocab = 0;           // rows of the embedding, padding included
  int context = 0;         // max_position_embeddings
  double rms_eps = 1e-6;
  double rope_theta = 10000;
  RopeScaling rope_scaling;
  bool tied_embeddings = false;
  bool qk_norm = true;         // Qwen3: RMS norm per head on q and k before RoPE
  bool qkv_bias = false;       // Qwen2: biases on q, k, v
  DType dtype = DType::kBf16;  // as declared; each tensor's own dtype counts
  std::vector<LayerSpec> layers;
  int moe_layers = 0;

  std::vector<TokenId> eos_ids;  // union of config.json and generation_config.json, ascending
  std::optional<TokenId> bos_id;
  // Defaults of generation_config.json; unset means the neutral value.
  std::optional<double> default_temperature, default_top_p, default_repetition_penalty;
  std::optional<int> default_top_k;

  int q_width() const { return heads * head_dim; }
  int kv_width() const { return kv_heads * head_dim; }
};

}  // namespace conclave
