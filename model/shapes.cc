#include "model/shapes.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/limits.h"

namespace conclave {
namespace {

struct Shape {
  absl::string_view name;
  int layers, hidden, heads, kv_heads, head_dim, ffn_width, expert_width, experts, topk, vocab,
      context;
  double rope_theta;
  TokenId bos;
  std::vector<TokenId> eos;
};

const std::vector<Shape>& Shapes() {
  static const std::vector<Shape>* const shapes = new std::vector<Shape>{
      {"qwen3-30b-a3b",
       48,
       2048,
       32,
       4,
       128,
       6144,
       768,
       128,
       8,
       151936,
       40960,
       1e6,
       151643,
       {151643, 151645}},
      {"qwen3-235b-a22b",
       94,
       4096,
       64,
       4,
       128,
       12288,
       1536,
       128,
       8,
       151936,
       40960,
       1e6,
       151643,
       {151643, 151645}},
      {"tiny", 3, 64, 4, 2, 32, 96, 48, 16, 4, 320, 4096, 1e6, 1, {2}},
  };
  return *shapes;
}

ModelConfig ConfigOf(const Shape& shape, int layers) {
  ModelConfig config;
  config.family = Family::kQwen3Moe;
  config.name = std::string(shape.name);
  config.hidden = shape.hidden;
  config.heads = shape.heads;
  config.kv_heads = shape.kv_heads;
  config.head_dim = shape.head_dim;
  config.ffn_width = shape.ffn_width;
  config.expert_width = shape.expert_width;
  config.experts = shape.experts;
  config.topk = shape.topk;
  config.norm_topk = true;
  config.vocab = shape.vocab;
  config.context = shape.context;
  config.rope_theta = shape.rope_theta;
  for (int i = 0; i < layers; ++i) config.layers.push_back({FfnKind::kMoe, i});
  config.moe_layers = layers;
  config.bos_id = shape.bos;
  config.eos_ids = shape.eos;
  return config;
}

}  // namespace

std::vector<absl::string_view> ShapeNames() {
  std::vector<absl::string_view> names;
  for (const Shape& shape : Shapes()) names.push_back(shape.name);
  return names;
}

absl::StatusOr<ModelConfig> NamedShape(absl::string_view name, int layers) {
  if (layers < 0 || layers > kLayersMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("layers: ", layers, " is not in 0..", kLayersMax));
  }
  for (const Shape& shape : Shapes()) {
    if (shape.name == name) return ConfigOf(shape, layers == 0 ? shape.layers : layers);
  }
  return absl::InvalidArgumentError(absl::StrCat("shape: \"", name, "\" is not known; one of ",
                                                 absl::StrJoin(ShapeNames(), ", ")));
}

}  // namespace conclave
