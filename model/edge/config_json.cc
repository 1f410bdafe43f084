// config.json and generation_config.json into a ModelConfig. Two spellings are met in the field:
// the one of transformers 4 (torch_dtype, num_experts, rope_theta and rope_scaling) and of 5
// (dtype, num_local_experts, rope_parameters); files re-saved by tools mix them, so each key is
// looked up on its own.
#include <algorithm>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/status.h"
#include "model/edge/checkpoint.h"
#include "model/edge/json_fields.h"
#include "model/edge/mapped_file.h"
#include "model/edge/rope_json.h"

namespace conclave {
namespace {

constexpr std::size_t kConfigBytesMax = std::size_t{1} << 20;

// Things this program would silently compute wrongly.
absl::Status RefuseUnknown(const JsonFields& json) {
  ASSIGN_OR_RETURN(const std::string activation, json.StringOr("hidden_act", "silu"));
  if (activation != "silu") {
    return json.Bad("hidden_act",
                    absl::StrCat("\"", activation, "\" is not supported; expected \"silu\""));
  }
  ASSIGN_OR_RETURN(const bool bias, json.BoolOr("attention_bias", false));
  if (bias) return json.Bad("attention_bias", "true is not supported by this family");
  ASSIGN_OR_RETURN(const bool windows, json.BoolOr("use_sliding_window", false));
  if (windows && json.Has("sliding_window")) {
    return json.Bad("use_sliding_window",
                    "sliding windows are not supported; set it to false if none is meant");
  }
  if (json.Has("quantization_config")) {
    return json.Bad("quantization_config",
                    "quantised checkpoints are not supported; expected BF16, F16 or F32");
  }
  ASSIGN_OR_RETURN(const double rotary_part, json.NumberOr("partial_rotary_factor", 1.0));
  if (rotary_part != 1.0) return json.Bad("partial_rotary_factor", "only 1 is supported");
  return absl::OkStatus();
}

absl::StatusOr<Family> ReadFamily(const JsonFields& json) {
  if (!json.Has("model_type")) return json.Bad("model_type", "missing");
  ASSIGN_OR_RETURN(const std::string type, json.StringOr("model_type", ""));
  if (type == "qwen3_moe") return Family::kQwen3Moe;
  if (type == "qwen3") return Family::kQwen3Dense;
  return json.Bad("model_type",
                  absl::StrCat("\"", type, "\" is not supported; expected qwen3_moe or qwen3"));
}

// Of two spellings of one key, the value that is there; they must agree when both are.
absl::StatusOr<int> ReadExperts(const JsonFields& json) {
  ASSIGN_OR_RETURN(const int old_way, json.IntOr("num_experts", 0, kExpertsMax, -1));
  ASSIGN_OR_RETURN(const int new_way, json.IntOr("num_local_experts", 0, kExpertsMax, -1));
  if (old_way < 0 && new_way < 0)
    return json.Bad("num_experts", "missing (num_local_experts is accepted too)");
  if (old_way >= 0 && new_way >= 0 && old_way != new_way) {
    return json.Bad("num_experts",
                    absl::StrCat(old_way, " contradicts num_local_experts ", new_way));
  }
  return std::max(old_way, new_way);
}

absl::StatusOr<DType> ReadDType(const JsonFields& json) {
  const char* const key = json.Has("torch_dtype") ? "torch_dtype" : "dtype";
  ASSIGN_OR_RETURN(std::string name, json.StringOr(key, "bfloat16"));
  if (absl::StartsWith(name, "torch.")) name = name.substr(6);
  if (name == "bfloat16") return DType::kBf16;
  if (name == "float16") return DType::kF16;
  if (name == "float32") return DType::kF32;
  return json.Bad(
      key, absl::StrCat("\"", name, "\" is not supported; expected bfloat16, float16 or float32"));
}

absl::Status ReadAttention(const JsonFields& json, ModelConfig& config) {
  ASSIGN_OR_RETURN(config.hidden, json.Int("hidden_size", 1, kHiddenMax));
  ASSIGN_OR_RETURN(config.heads, json.Int("num_attention_heads", 1, kHeadsMax));
  ASSIGN_OR_RETURN(config.kv_heads, json.Int("num_key_value_heads", 1, kHeadsMax));
  if (config.heads % config.kv_heads != 0) {
    return json.Bad(
        "num_key_value_heads",
        absl::StrCat(config.kv_heads, " does not divide num_attention_heads ", config.heads));
  }
  if (!json.Has("head_dim") && config.hidden % config.heads != 0) {
    return json.Bad("head_dim", "missing, and num_attention_heads does not divide hidden_size");
  }
  // Releases without the key are those whose heads share the hidden size out among them.
  ASSIGN_OR_RETURN(config.head_dim,
                   json.IntOr("head_dim", 2, kHeadDimMax, config.hidden / config.heads));
  if (config.head_dim % 2 != 0 || config.head_dim < 2 || config.head_dim > kHeadDimMax) {
    return json.Bad("head_dim",
                    absl::StrCat(config.head_dim, " is not an even number in 2..", kHeadDimMax));
  }
  return absl::OkStatus();
}

// Which layers are sparse: not listed in mlp_only_layers, and every decoder_sparse_step-th counted
// from 1.
absl::Status ReadLayers(const JsonFields& json, ModelConfig& config) {
  ASSIGN_OR_RETURN(const int layers, json.Int("num_hidden_layers", 1, kLayersMax));
  config.layers.assign(static_cast<std::size_t>(layers), LayerSpec{FfnKind::kDense, -1});
  if (const nlohmann::json* const types = json.Get("layer_types"); types != nullptr) {
    const bool all_full = types->is_array() && types->size() == config.layers.size() &&
                          std::all_of(types->begin(), types->end(),
                                      [](const auto& t) { return t == "full_attention"; });
    if (!all_full) {
      return json.Bad("layer_types",
                      absl::StrCat("expected \"full_attention\" for each of ", layers, " layers"));
    }
  }
  if (config.experts == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const int step, json.IntOr("decoder_sparse_step", 1, kLayersMax, 1));
  std::vector<bool> listed(config.layers.size(), false);
  if (const nlohmann::json* const only = json.Get("mlp_only_layers"); only != nullptr) {
    if (!only->is_array()) return json.Bad("mlp_only_layers", "expected a list of layers");
    for (const nlohmann::json& entry : *only) {
      const bool fits = entry.is_number_integer() && entry >= 0 && entry < layers;
      if (!fits)
        return json.Bad("mlp_only_layers", absl::StrCat("expected layers in 0..", layers - 1));
      listed[entry.get<std::size_t>()] = true;
    }
  }
  for (int l = 0; l < layers; ++l) {
    if (listed[static_cast<std::size_t>(l)] || (l + 1) % step != 0) continue;
    config.layers[static_cast<std::size_t>(l)] = {FfnKind::kMoe, config.moe_layers++};
  }
  return absl::OkStatus();
}

absl::Status ReadFfn(const JsonFields& json, ModelConfig& config) {
  if (config.family == Family::kQwen3Moe) {
    ASSIGN_OR_RETURN(config.experts, ReadExperts(json));
  }
  RETURN_IF_ERROR(ReadLayers(json, config));
  const bool any_dense = config.moe_layers < static_cast<int>(config.layers.size());
  if (any_dense || json.Has("intermediate_size")) {
    ASSIGN_OR_RETURN(config.ffn_width, json.Int("intermediate_size", 1, kFfnWidthMax));
  }
  if (config.moe_layers == 0) {
    config.experts = 0;
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(config.expert_width, json.Int("moe_intermediate_size", 1, kFfnWidthMax));
  ASSIGN_OR_RETURN(config.topk, json.Int("num_experts_per_tok", 1, kTopkMax));
  if (config.topk > config.experts) {
    return json.Bad("num_experts_per_tok",
                    absl::StrCat(config.topk, " exceeds num_experts ", config.experts));
  }
  ASSIGN_OR_RETURN(config.norm_topk, json.BoolOr("norm_topk_prob", false));
  return absl::OkStatus();
}

// A scalar or a list; adds to what is there already.
absl::Status ReadEos(const JsonFields& json, ModelConfig& config) {
  const nlohmann::json* const value = json.Get("eos_token_id");
  if (value == nullptr) return absl::OkStatus();
  const nlohmann::json list = value->is_array() ? *value : nlohmann::json::array({*value});
  for (const nlohmann::json& entry : list) {
    if (!entry.is_number_integer() || entry < 0 || entry >= config.vocab) {
      return json.Bad("eos_token_id", absl::StrCat("expected token ids in 0..", config.vocab - 1));
    }
    config.eos_ids.push_back(entry.get<TokenId>());
  }
  std::sort(config.eos_ids.begin(), config.eos_ids.end());
  config.eos_ids.erase(std::unique(config.eos_ids.begin(), config.eos_ids.end()),
                       config.eos_ids.end());
  if (config.eos_ids.size() > static_cast<std::size_t>(kStopIdsMax)) {
    return json.Bad("eos_token_id", absl::StrCat("more than ", kStopIdsMax, " ids"));
  }
  return absl::OkStatus();
}

absl::Status ReadConfig(const JsonFields& json, ModelConfig& config) {
  ASSIGN_OR_RETURN(config.family, ReadFamily(json));
  RETURN_IF_ERROR(RefuseUnknown(json));
  RETURN_IF_ERROR(ReadAttention(json, config));
  RETURN_IF_ERROR(ReadFfn(json, config));
  ASSIGN_OR_RETURN(config.vocab, json.Int("vocab_size", 1, kVocabMax));
  ASSIGN_OR_RETURN(config.context, json.IntOr("max_position_embeddings", 1, kContextMax, 32768));
  ASSIGN_OR_RETURN(config.rms_eps, json.NumberOr("rms_norm_eps", 1e-6));
  if (config.rms_eps <= 0 || config.rms_eps > 1)
    return json.Bad("rms_norm_eps", "expected a number in (0, 1]");
  RETURN_IF_ERROR(ReadRope(json, config));
  ASSIGN_OR_RETURN(config.tied_embeddings, json.BoolOr("tie_word_embeddings", false));
  ASSIGN_OR_RETURN(config.dtype, ReadDType(json));
  if (json.Has("bos_token_id")) {
    ASSIGN_OR_RETURN(config.bos_id, json.Int("bos_token_id", 0, config.vocab - 1));
  }
  return ReadEos(json, config);
}

absl::Status ReadGenerationConfig(const JsonFields& json, ModelConfig& config) {
  RETURN_IF_ERROR(ReadEos(json, config));
  ASSIGN_OR_RETURN(config.default_temperature, json.Number("temperature"));
  if (config.default_temperature.value_or(0) < 0)
    return json.Bad("temperature", "expected a number >= 0");
  ASSIGN_OR_RETURN(config.default_top_p, json.Number("top_p"));
  const double top_p = config.default_top_p.value_or(1);
  if (top_p <= 0 || top_p > 1) return json.Bad("top_p", "expected a number in (0, 1]");
  ASSIGN_OR_RETURN(config.default_repetition_penalty, json.Number("repetition_penalty"));
  if (config.default_repetition_penalty.value_or(1) <= 0)
    return json.Bad("repetition_penalty", "expected a number > 0");
  if (json.Has("top_k")) {
    ASSIGN_OR_RETURN(config.default_top_k, json.Int("top_k", 0, INT32_MAX));
  }
  return absl::OkStatus();
}

std::string BaseName(const std::string& dir) {
  std::error_code ignored;
  std::filesystem::path path = std::filesystem::absolute(dir, ignored).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  return path.filename().string();
}

}  // namespace

absl::StatusOr<ModelConfig> LoadConfig(const std::string& model_dir) {
  ModelConfig config;
  config.name = BaseName(model_dir);
  ASSIGN_OR_RETURN(const std::string text,
                   ReadSmallFile(model_dir + "/config.json", kConfigBytesMax));
  ASSIGN_OR_RETURN(const nlohmann::json json, ParseJsonObject(text, "config.json"));
  RETURN_IF_ERROR(ReadConfig(JsonFields(json, "config.json: "), config));

  const absl::StatusOr<std::string> more =
      ReadSmallFile(model_dir + "/generation_config.json", kConfigBytesMax);
  if (absl::IsNotFound(more.status())) return config;  // it is optional
  RETURN_IF_ERROR(more.status());
  ASSIGN_OR_RETURN(const nlohmann::json generation,
                   ParseJsonObject(*more, "generation_config.json"));
  RETURN_IF_ERROR(ReadGenerationConfig(JsonFields(generation, "generation_config.json: "), config));
  return config;
}

}  // namespace conclave
