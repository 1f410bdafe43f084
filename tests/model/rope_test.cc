// Rotary frequencies and YaRN, against numbers worked out from the formulas apart from this
// program.
#include "model/rope.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

#include "model/edge/checkpoint.h"
#include "model/edge/rope_json.h"
#include "tests/support/golden.h"

namespace conclave {
namespace {

using testing::HasSubstr;

absl::StatusOr<ModelConfig> Read(const std::string& json, int context = 40960) {
  ModelConfig config;
  config.head_dim = 128;
  config.context = context;
  config.rope_theta = 1e6;
  const nlohmann::json object = nlohmann::json::parse(json);
  const absl::Status status = ReadRope(JsonFields(object, ""), config);
  if (!status.ok()) return status;
  return config;
}

TEST(Rope, PlainFrequencies) {
  const auto config = Read("{}");
  const std::vector<double> f = InverseFrequencies(*config);
  ASSERT_EQ(f.size(), 64u);
  EXPECT_EQ(f[0], 1.0);
  EXPECT_NEAR(f[32], 1e-3, 1e-16);
  for (std::size_t i = 0; i < 64; ++i)
    EXPECT_NEAR(f[i] / std::pow(1e6, -static_cast<double>(i) / 64), 1, 1e-13);
}

constexpr const char* kQwenYarn =
    R"({"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}})";

TEST(Rope, QwensYarn) {
  const auto config = Read(kQwenYarn);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_NEAR(config->rope_scaling.attention_factor, 1.1386294361119891, 1e-12);
  EXPECT_EQ(config->context, 131072);  // 32768 * 4, although max_position_embeddings says 40960
  // corr(32) = 128 ln(32768 / 64 pi) / (2 ln 1e6) = 23.596..., corr(1) = 39.652...: ramp from 23
  // to 40.
  const std::vector<double> plain = InverseFrequencies(*Read("{}"));
  const std::vector<double> f = InverseFrequencies(*config);
  EXPECT_EQ(f[23], plain[23]);
  EXPECT_LT(f[24], plain[24]);
  EXPECT_NEAR(f[24] / plain[24], 1 - 0.75 / 17, 1e-12);
  EXPECT_NEAR(f[31] / plain[31], 1 - 0.75 * 8 / 17, 1e-12);
  EXPECT_GT(f[39], plain[39] / 4);
  EXPECT_NEAR(f[40] / plain[40], 0.25, 1e-15);
  EXPECT_NEAR(f[63] / plain[63], 0.25, 1e-15);
}

TEST(Rope, OldKeyAndNewPlaceMeanTheSame) {
  const auto want = Read(kQwenYarn);
  const auto old_key = Read(
      R"({"rope_scaling": {"type": "yarn", "factor": 4, "original_max_position_embeddings": 32768}})");
  const auto new_place =
      Read(R"({"rope_parameters": {"rope_theta": 1000000, "rope_type": "yarn", "factor": 4.0,
                                  "original_max_position_embeddings": 32768}})");
  ASSERT_TRUE(old_key.ok() && new_place.ok());
  EXPECT_EQ(InverseFrequencies(*old_key), InverseFrequencies(*want));
  EXPECT_EQ(InverseFrequencies(*new_place), InverseFrequencies(*want));
  EXPECT_EQ(new_place->rope_scaling.attention_factor, want->rope_scaling.attention_factor);
}

TEST(Rope, AttentionFactorRules) {
  const auto factor = [](const std::string& more) {
    const auto config =
        Read(R"({"rope_scaling": {"rope_type": "yarn", "factor": 40)" + more + "}}", 4096);
    return config.ok() ? config->rope_scaling.attention_factor : -1;
  };
  const double m = 0.1 * std::log(40.0) + 1;
  EXPECT_NEAR(factor(""), m, 1e-12);
  EXPECT_NEAR(factor(R"(, "attention_factor": 1.5)"), 1.5, 0);
  EXPECT_NEAR(factor(R"(, "mscale": 1.0, "mscale_all_dim": 1.0)"), 1.0, 1e-15);
  EXPECT_NEAR(factor(R"(, "mscale": 0.707, "mscale_all_dim": 1.0)"),
              (0.0707 * std::log(40.0) + 1) / m, 1e-12);
  EXPECT_NEAR(factor(R"(, "mscale": 0.707)"), m, 1e-12);  // one of them alone says nothing
  EXPECT_NEAR(factor(R"(, "mscale": 1.0, "mscale_all_dim": 0)"), m, 1e-12);
  EXPECT_EQ(YarnMagnitude(0.5, 1), 1.0);
}

TEST(Rope, WithoutOriginalTheContextCounts) {
  const auto config = Read(R"({"rope_scaling": {"rope_type": "yarn", "factor": 2.0}})", 4096);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->rope_scaling.original_max_positions, 4096);
  EXPECT_EQ(config->context, 4096);
}

TEST(Rope, UntruncatedRampIsFractional) {
  const auto config =
      Read(R"({"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "truncate": false,
                              "original_max_position_embeddings": 32768}})");
  ASSERT_TRUE(config.ok()) << config.status();
  const double low = 128 * std::log(32768 / (64 * M_PI)) / (2 * std::log(1e6));
  const double high = 128 * std::log(32768 / (2 * M_PI)) / (2 * std::log(1e6));
  const std::vector<double> plain = InverseFrequencies(*Read("{}"));
  EXPECT_NEAR(InverseFrequencies(*config)[30] / plain[30], 1 - 0.75 * (30 - low) / (high - low),
              1e-12);
}

TEST(Rope, RampOfNoWidth) {  // corr(1) rounds up to 0, corr(32) is clamped to 0
  const auto config = Read(R"({"rope_scaling": {"rope_type": "yarn", "factor": 4.0,
                              "original_max_position_embeddings": 6}})");
  ASSERT_TRUE(config.ok()) << config.status();
  const std::vector<double> plain = InverseFrequencies(*Read("{}"));
  EXPECT_EQ(InverseFrequencies(*config)[0], 1.0);
  EXPECT_NEAR(InverseFrequencies(*config)[1] / plain[1], 0.25, 1e-15);
}

TEST(Rope, Linear) {
  const auto config = Read(R"({"rope_scaling": {"type": "linear", "factor": 8.0}})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(InverseFrequencies(*config)[0], 0.125);
  EXPECT_EQ(config->rope_scaling.attention_factor, 1.0);
}

TEST(Rope, OracleConfig) {
  const auto config = LoadConfig(RepositoryPath("tests/data/oracles/qwen3moe_yarn"));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->rope_scaling.kind, RopeScaling::Kind::kYarn);
  EXPECT_EQ(config->rope_scaling.original_max_positions, 64);
  EXPECT_EQ(config->context, 256);
}

TEST(Rope, RefusalsNameTheKey) {
  const std::pair<const char*, const char*> table[] = {
      {R"({"rope_scaling": {"rope_type": "llama3", "factor": 8}})", "rope_scaling.rope_type:"},
      {R"({"rope_scaling": {"type": "dynamic", "factor": 8}})", "rope_scaling.type:"},
      {R"({"rope_scaling": {"rope_type": "yarn"}})", "rope_scaling.factor:"},
      {R"({"rope_scaling": {"rope_type": "yarn", "factor": 0.5}})", "rope_scaling.factor:"},
      {R"({"rope_scaling": {"rope_type": "yarn", "factor": 64, "original_max_position_embeddings": 32768}})",
       "rope_scaling.factor:"},
      {R"({"rope_scaling": {"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 0}})",
       "rope_scaling.original_max_position_embeddings:"},
      {R"({"rope_scaling": {"rope_type": "yarn", "factor": 4, "beta_slow": 0}})",
       "rope_scaling.beta_slow:"},
      {R"({"rope_scaling": {"rope_type": "yarn", "factor": 4, "beta_fast": 1}})",
       "rope_scaling.beta_fast:"},
      {R"({"rope_scaling": {"rope_type": "yarn", "factor": 4, "mscale": -1}})",
       "rope_scaling.mscale:"},
      {R"({"rope_scaling": {"rope_type": "yarn", "factor": 4, "attention_factor": 0}})",
       "rope_scaling.attention_factor:"},
      {R"({"rope_scaling": "yarn"})", "rope_scaling:"},
      {R"({"rope_parameters": {"rope_theta": 0}})", "rope_parameters.rope_theta:"},
      {R"({"rope_parameters": {"partial_rotary_factor": 0.5}})",
       "rope_parameters.partial_rotary_factor:"},
  };
  for (const auto& [json, key] : table) {
    const auto config = Read(json);
    EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument) << json;
    EXPECT_THAT(std::string(config.status().message()), HasSubstr(key)) << json;
  }
}

}  // namespace
}  // namespace conclave
