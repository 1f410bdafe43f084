// config.json in all its spellings, and what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "model/edge/checkpoint.h"
#include "tests/support/files.h"
#include "tests/support/golden.h"

namespace conclave {
namespace {

using Json = nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

// A small valid config; tests change one thing.
Json Valid() {
  return Json::parse(
      R"({"model_type": "qwen3_moe", "hidden_act": "silu", "hidden_size": 64, "head_dim": 32,
    "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 3, "intermediate_size": 96,
    "moe_intermediate_size": 48, "num_experts": 16, "num_experts_per_tok": 4, "norm_topk_prob": true,
    "vocab_size": 320, "max_position_embeddings": 512, "rope_theta": 1000000, "torch_dtype": "bfloat16",
    "bos_token_id": 1, "eos_token_id": 2})");
}

absl::StatusOr<ModelConfig> Load(const std::string& config, const std::string& generation = "") {
  const TempDir dir;
  WriteFile(dir / "config.json", config);
  if (!generation.empty()) WriteFile(dir / "generation_config.json", generation);
  return LoadConfig(dir.path());
}

absl::StatusOr<ModelConfig> LoadWith(const Json& patch) {
  Json json = Valid();
  json.merge_patch(patch);  // null removes a key
  return Load(json.dump());
}

absl::StatusOr<ModelConfig> LoadReal(const std::string& name) {
  return Load(ReadFile(RepositoryPath("tests/data/configs/" + name)),
              ReadFile(RepositoryPath("tests/data/configs/generation_config.instruct-2507.json")));
}

TEST(RealConfig, Qwen235B) {
  const auto c = LoadReal("Qwen3-235B-A22B-Instruct-2507.config.json");
  ASSERT_TRUE(c.ok()) << c.status();
  EXPECT_EQ(c->family, Family::kQwen3Moe);
  EXPECT_EQ(c->layers.size(), 94u);
  EXPECT_EQ(c->moe_layers, 94);
  EXPECT_EQ(c->hidden, 4096);
  EXPECT_EQ(c->q_width(), 8192);
  EXPECT_EQ(c->kv_width(), 512);
  EXPECT_EQ(c->expert_width, 1536);
  EXPECT_EQ(c->experts, 128);
  EXPECT_EQ(c->topk, 8);
  EXPECT_TRUE(c->norm_topk);
  EXPECT_EQ(c->context, 262144);
  EXPECT_EQ(c->rope_theta, 5e6);
  EXPECT_FALSE(c->tied_embeddings);
  EXPECT_THAT(c->eos_ids, ElementsAre(151643, 151645));
  EXPECT_EQ(c->default_temperature, 0.7);
  EXPECT_EQ(c->default_top_p, 0.8);
  EXPECT_EQ(c->default_top_k, 20);
  EXPECT_EQ(TensorsOf(*c).size(), 36945u);
}

TEST(RealConfig, Others) {
  for (const char* const name : {"Qwen3-235B-A22B.config.json", "Qwen3-30B-A3B.config.json",
                                 "Qwen3-30B-A3B-Instruct-2507.config.json"}) {
    const auto c = LoadReal(name);
    ASSERT_TRUE(c.ok()) << name << c.status();
    EXPECT_EQ(TensorsOf(*c).size(), c->layers.size() == 94 ? 36945u : 18867u) << name;
  }
  EXPECT_EQ(LoadReal("Qwen3-30B-A3B.config.json")->context, 40960);
  EXPECT_EQ(LoadReal("Qwen3-30B-A3B-Instruct-2507.config.json")->rope_theta, 1e7);
  const auto dense = LoadReal("Qwen3-4B-Instruct-2507.config.json");
  ASSERT_TRUE(dense.ok()) << dense.status();
  EXPECT_EQ(dense->family, Family::kQwen3Dense);
  EXPECT_EQ(dense->moe_layers, 0);
  EXPECT_EQ(dense->topk, 0);
  EXPECT_TRUE(dense->tied_embeddings);
}

TEST(Config, NewSpelling) {
  Json json = Valid();
  for (const char* const key : {"torch_dtype", "num_experts", "rope_theta"}) json.erase(key);
  json["dtype"] = "float32";
  json["num_local_experts"] = 16;
  json["rope_parameters"] = {{"rope_theta", 5e5}, {"rope_type", "default"}};
  const auto c = Load(json.dump());
  ASSERT_TRUE(c.ok()) << c.status();
  EXPECT_EQ(c->dtype, DType::kF32);
  EXPECT_EQ(c->experts, 16);
  EXPECT_EQ(c->rope_theta, 5e5);
  EXPECT_EQ(c->rope_scaling.kind, RopeScaling::Kind::kNone);
}

TEST(Config, DenseLayersAmongSparse) {
  const auto c =
      LoadWith({{"num_hidden_layers", 6}, {"decoder_sparse_step", 2}, {"mlp_only_layers", {3}}});
  ASSERT_TRUE(c.ok()) << c.status();
  std::vector<int> moe;
  for (const LayerSpec& layer : c->layers) {
    moe.push_back(layer.moe_index);
    EXPECT_EQ(layer.ffn == FfnKind::kMoe, layer.moe_index >= 0);
  }
  EXPECT_THAT(moe, ElementsAre(-1, 0, -1, -1, -1, 1));
  EXPECT_EQ(c->moe_layers, 2);
}

TEST(Config, DefaultsOfMissingKeys) {
  Json json = Valid();
  for (const char* const key :
       {"norm_topk_prob", "rope_theta", "max_position_embeddings", "hidden_act", "head_dim",
        "eos_token_id", "bos_token_id", "torch_dtype"}) {
    json.erase(key);
  }
  const auto c = Load(json.dump());
  ASSERT_TRUE(c.ok()) << c.status();
  EXPECT_FALSE(c->norm_topk);  // the class's default, not the releases' value
  EXPECT_EQ(c->rope_theta, 10000);
  EXPECT_EQ(c->context, 32768);
  EXPECT_EQ(c->head_dim, 16);
  EXPECT_EQ(c->rms_eps, 1e-6);
  EXPECT_TRUE(c->eos_ids.empty());
  EXPECT_FALSE(c->bos_id.has_value());
  EXPECT_FALSE(c->default_temperature.has_value());
}

TEST(Config, EosIsAUnion) {
  Json json = Valid();
  json["eos_token_id"] = {7, 2};
  const auto c = Load(json.dump(), R"({"eos_token_id": [5, 2]})");
  ASSERT_TRUE(c.ok()) << c.status();
  EXPECT_THAT(c->eos_ids, ElementsAre(2, 5, 7));
}

TEST(Config, NameIsTheDirectorys) {
  for (const char* const spelling :
       {"models/tales-128e", "models/tales-128e/", "models/../models/tales-128e/."}) {
    EXPECT_EQ(LoadConfig(RepositoryPath(spelling))->name, "tales-128e") << spelling;
  }
}

struct BadConfig {
  const char* patch;
  const char* key;  // must stand in the message
};

class RefusedTest : public testing::TestWithParam<BadConfig> {};

TEST_P(RefusedTest, MessageNamesTheKey) {
  const auto config = LoadWith(Json::parse(GetParam().patch));
  ASSERT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument) << GetParam().patch;
  EXPECT_THAT(std::string(config.status().message()),
              HasSubstr(std::string("config.json: ") + GetParam().key + ":"))
      << GetParam().patch;
}

INSTANTIATE_TEST_SUITE_P(
    Table, RefusedTest,
    testing::Values(
        BadConfig{R"({"model_type": null})", "model_type"},
        BadConfig{R"({"model_type": "llama"})", "model_type"},
        BadConfig{R"({"model_type": 3})", "model_type"},
        BadConfig{R"({"hidden_act": "gelu"})", "hidden_act"},
        BadConfig{R"({"hidden_size": null})", "hidden_size"},
        BadConfig{R"({"hidden_size": 0})", "hidden_size"},
        BadConfig{R"({"hidden_size": -64})", "hidden_size"},
        BadConfig{R"({"hidden_size": 16385})", "hidden_size"},
        BadConfig{R"({"hidden_size": 18446744073709551615})", "hidden_size"},
        BadConfig{R"({"hidden_size": 64.5})", "hidden_size"},
        BadConfig{R"({"hidden_size": "64"})", "hidden_size"},
        BadConfig{R"({"num_attention_heads": 513})", "num_attention_heads"},
        BadConfig{R"({"num_key_value_heads": 3})", "num_key_value_heads"},
        BadConfig{R"({"num_key_value_heads": 8})", "num_key_value_heads"},
        BadConfig{R"({"head_dim": 33})", "head_dim"}, BadConfig{R"({"head_dim": 514})", "head_dim"},
        BadConfig{R"({"head_dim": null, "hidden_size": 66})", "head_dim"},
        BadConfig{R"({"num_hidden_layers": 257})", "num_hidden_layers"},
        BadConfig{R"({"num_hidden_layers": 0})", "num_hidden_layers"},
        BadConfig{R"({"num_experts": 513})", "num_experts"},
        BadConfig{R"({"num_experts": null})", "num_experts"},
        BadConfig{R"({"num_local_experts": 8})", "num_experts"},
        BadConfig{R"({"num_experts_per_tok": 17})", "num_experts_per_tok"},
        BadConfig{R"({"num_experts": 3})", "num_experts_per_tok"},
        BadConfig{R"({"num_experts_per_tok": null})", "num_experts_per_tok"},
        BadConfig{R"({"moe_intermediate_size": null})", "moe_intermediate_size"},
        BadConfig{R"({"intermediate_size": null, "mlp_only_layers": [0]})", "intermediate_size"},
        BadConfig{R"({"mlp_only_layers": [3]})", "mlp_only_layers"},
        BadConfig{R"({"mlp_only_layers": [-1]})", "mlp_only_layers"},
        BadConfig{R"({"mlp_only_layers": 1})", "mlp_only_layers"},
        BadConfig{R"({"decoder_sparse_step": 0})", "decoder_sparse_step"},
        BadConfig{R"({"vocab_size": 1048577})", "vocab_size"},
        BadConfig{R"({"max_position_embeddings": 1048577})", "max_position_embeddings"},
        BadConfig{R"({"rms_norm_eps": 0})", "rms_norm_eps"},
        BadConfig{R"({"rope_theta": 1})", "rope_theta"},
        BadConfig{R"({"rope_theta": "big"})", "rope_theta"},
        BadConfig{R"({"torch_dtype": "int8"})", "torch_dtype"},
        BadConfig{R"({"torch_dtype": null, "dtype": "fp4"})", "dtype"},
        BadConfig{R"({"tie_word_embeddings": 1})", "tie_word_embeddings"},
        BadConfig{R"({"attention_bias": true})", "attention_bias"},
        BadConfig{R"({"quantization_config": {"quant_method": "fp8"}})", "quantization_config"},
        BadConfig{R"({"use_sliding_window": true, "sliding_window": 4096})", "use_sliding_window"},
        BadConfig{R"({"layer_types": ["full_attention", "sliding_attention", "full_attention"]})",
                  "layer_types"},
        BadConfig{R"({"layer_types": ["full_attention"]})", "layer_types"},
        BadConfig{R"({"bos_token_id": 320})", "bos_token_id"},
        BadConfig{R"({"eos_token_id": 320})", "eos_token_id"},
        BadConfig{R"({"eos_token_id": [2, -1]})", "eos_token_id"},
        BadConfig{R"({"eos_token_id": {"a": 1}})", "eos_token_id"}));

TEST(Config, WindowsThatAreOffAreAccepted) {
  EXPECT_TRUE(LoadWith({{"use_sliding_window", false}, {"sliding_window", 4096}}).ok());
  EXPECT_TRUE(
      LoadWith(
          Json::parse(R"({"layer_types": ["full_attention", "full_attention", "full_attention"]})"))
          .ok());
}

TEST(Config, BadFilesAreNamed) {
  EXPECT_THAT(std::string(Load("{\"model_type\": ").status().message()),
              HasSubstr("config.json is not valid JSON"));
  EXPECT_THAT(std::string(Load("[]").status().message()),
              HasSubstr("config.json: expected a JSON object"));
  EXPECT_FALSE(Load(std::string(2 << 20, ' ')).ok());
  EXPECT_FALSE(Load(std::string(100000, '[')).ok());
  EXPECT_EQ(LoadConfig("/nowhere/at/all").status().code(), absl::StatusCode::kNotFound);
}

TEST(GenerationConfig, BadValuesAreNamed) {
  for (const char* const key : {"temperature", "top_p", "top_k", "repetition_penalty"}) {
    const auto c = Load(Valid().dump(), Json{{key, -1}}.dump());
    EXPECT_THAT(std::string(c.status().message()),
                HasSubstr(std::string("generation_config.json: ") + key + ":"));
  }
}

}  // namespace
}  // namespace conclave
