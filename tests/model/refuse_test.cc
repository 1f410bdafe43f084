// Checkpoints that must be refused: the error names the tensor or the file and what was expected.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "model/edge/checkpoint.h"
#include "tests/support/files.h"
#include "tests/support/golden.h"

namespace conclave {
namespace {

using Json = nlohmann::ordered_json;
using testing::HasSubstr;

constexpr const char* kIndex = "model.safetensors.index.json";
constexpr const char* kQ = "model.layers.1.self_attn.q_proj.weight";
constexpr const char* kUp = "model.layers.2.mlp.experts.15.up_proj.weight";

// A copy of a small model that a test may damage.
class RefuseTest : public testing::Test {
 protected:
  void Use(const std::string& model) {
    CopyFiles(RepositoryPath("tests/data/oracles/" + model), dir_.path());
    ASSERT_TRUE(OpenCheckpoint(dir_.path()).ok());
  }

  // Lets `edit` change the header and returns with the file rewritten.
  void EditHeader(const std::string& file,
                  const std::function<void(Json&, std::string& data)>& edit) {
    const std::string bytes = ReadFile(dir_ / file);
    std::uint64_t size = 0;
    for (int i = 7; i >= 0; --i)
      size = size << 8 | static_cast<unsigned char>(bytes[static_cast<std::size_t>(i)]);
    Json header = Json::parse(bytes.substr(8, size));
    std::string data = bytes.substr(8 + size);
    edit(header, data);
    WriteFile(dir_ / file, SafetensorsBytes(header.dump(), 0) + data);
  }

  std::string Message() {
    const auto checkpoint = OpenCheckpoint(dir_.path());
    EXPECT_FALSE(checkpoint.ok());
    return std::string(checkpoint.status().message());
  }

  TempDir dir_;
};

TEST_F(RefuseTest, MissingTensor) {
  Use("qwen3moe_16e_numpy");
  EditHeader("model.safetensors", [](Json& header, std::string&) {
    header["model.layers.1.self_attn.other.weight"] = header[kQ];
    header.erase(kQ);
  });
  EXPECT_THAT(Message(),
              HasSubstr(std::string("tensor ") + kQ + " is missing; expected shape [128, 64]"));
}

TEST_F(RefuseTest, ExtraTensor) {
  Use("qwen3moe_16e_numpy");
  EditHeader("model.safetensors", [](Json& header, std::string& data) {
    header["model.layers.3.surprise"] = {
        {"dtype", "F32"}, {"shape", {1}}, {"data_offsets", {data.size(), data.size() + 4}}};
    data += std::string(4, '\0');
  });
  EXPECT_THAT(
      Message(),
      HasSubstr("model.safetensors: tensor model.layers.3.surprise is not part of this model"));
}

TEST_F(RefuseTest, MisshapenTensor) {
  Use("qwen3moe_16e_numpy");
  EditHeader("model.safetensors", [](Json& header, std::string&) {
    header[kUp]["shape"] = {64, 48};
  });
  EXPECT_THAT(Message(),
              HasSubstr(std::string("tensor ") + kUp + " has shape [64, 48]; expected [48, 64]"));
  EditHeader("model.safetensors",
             [](Json& header, std::string&) { header[kUp]["shape"] = {3072}; });
  EXPECT_THAT(Message(), HasSubstr("has shape [3072]; expected [48, 64]"));
}

TEST_F(RefuseTest, OtherDType) {
  Use("qwen3moe_16e_numpy");
  EditHeader("model.safetensors", [](Json& header, std::string&) { header[kUp]["dtype"] = "I32"; });
  EXPECT_THAT(Message(), HasSubstr(std::string("tensor ") + kUp +
                                   " has dtype I32; expected BF16, F16 or F32"));
}

TEST_F(RefuseTest, TruncatedAndOversized) {
  Use("qwen3moe_16e_numpy");
  const std::string whole = ReadFile(dir_ / "model.safetensors");
  WriteFile(dir_ / "model.safetensors", whole.substr(0, whole.size() - 1));
  EXPECT_THAT(Message(),
              testing::AllOf(HasSubstr("model.safetensors: tensor "), HasSubstr("truncated")));
  WriteFile(dir_ / "model.safetensors", whole + "x");
  EXPECT_THAT(Message(), HasSubstr("model.safetensors: the file has"));
  WriteFile(dir_ / "model.safetensors", "");
  EXPECT_THAT(Message(), HasSubstr("model.safetensors: the file has 0 bytes"));
}

TEST_F(RefuseTest, MissingShard) {
  Use("qwen3moe_128e");
  std::filesystem::remove(dir_ / "model-00007-of-00011.safetensors");
  EXPECT_THAT(Message(), HasSubstr("model-00007-of-00011.safetensors"));
}

TEST_F(RefuseTest, IndexAndShardsDisagree) {
  Use("qwen3moe_128e");
  const Json good = Json::parse(ReadFile(dir_ / kIndex));
  const auto with = [&](const std::function<void(Json&)>& edit) {
    Json index = good;
    edit(index["weight_map"]);
    WriteFile(dir_ / kIndex, index.dump());
    return Message();
  };
  EXPECT_THAT(
      with([](Json& map) { map.erase(kQ); }),
      HasSubstr(std::string("tensor ") + kQ + " is in this file but the index says nothing of it"));
  EXPECT_THAT(with([](Json& map) { map[kQ] = "model-00011-of-00011.safetensors"; }),
              HasSubstr("but the index says"));
  EXPECT_THAT(with([](Json& map) { map["ghost"] = "model-00001-of-00011.safetensors"; }),
              HasSubstr("tensor ghost is missing from model-00001-of-00011.safetensors"));
  EXPECT_THAT(with([](Json& map) { map[kQ] = "../secret.safetensors"; }), HasSubstr("weight_map"));
  EXPECT_THAT(with([](Json& map) { map[kQ] = 7; }), HasSubstr("weight_map"));
  WriteFile(dir_ / kIndex, "{}");
  EXPECT_THAT(Message(), HasSubstr("weight_map"));
  WriteFile(dir_ / kIndex, "{");
  EXPECT_THAT(Message(), HasSubstr("is not valid JSON"));
}

TEST_F(RefuseTest, NoWeightsAtAll) {
  Use("qwen3moe_16e_numpy");
  std::filesystem::remove(dir_ / "model.safetensors");
  EXPECT_THAT(Message(),
              HasSubstr("has neither model.safetensors nor model.safetensors.index.json"));
}

TEST_F(RefuseTest, ADirectoryInPlaceOfAFile) {
  Use("qwen3moe_16e_numpy");
  std::filesystem::remove(dir_ / "model.safetensors");
  std::filesystem::create_directory(dir_ / "model.safetensors");
  EXPECT_THAT(Message(), HasSubstr("is not a regular file"));
}

// Some releases of tied models carry the head all the same; every implementation ignores it.
TEST_F(RefuseTest, TheHeadOfATiedModelIsIgnoredWhenItsShapeIsRight) {
  Use("qwen3_dense_tied");
  const auto add_head = [](std::int64_t rows) {
    return [rows](Json& header, std::string& data) {
      const std::size_t at = data.size();
      data += std::string(static_cast<std::size_t>(rows) * 64 * 2, '\0');
      header["lm_head.weight"] = {
          {"dtype", "BF16"}, {"shape", {rows, 64}}, {"data_offsets", {at, data.size()}}};
    };
  };
  const std::string whole = ReadFile(dir_ / "model.safetensors");
  EditHeader("model.safetensors", add_head(512));
  const auto checkpoint = OpenCheckpoint(dir_.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_FALSE(checkpoint->tensors->Find("lm_head.weight").ok());
  WriteFile(dir_ / "model.safetensors", whole);
  EditHeader("model.safetensors", add_head(511));
  EXPECT_THAT(Message(), HasSubstr("lm_head.weight is not part of this model"));
}

TEST_F(RefuseTest, IdentityFollowsConfigAndHeaders) {
  Use("qwen3moe_16e_numpy");
  const std::uint64_t before = OpenCheckpoint(dir_.path())->identity;
  const std::string config = ReadFile(dir_ / "config.json");
  WriteFile(dir_ / "config.json", config + " ");
  EXPECT_NE(OpenCheckpoint(dir_.path())->identity, before);
  WriteFile(dir_ / "config.json", config);
  EXPECT_EQ(OpenCheckpoint(dir_.path())->identity, before);
  EditHeader("model.safetensors", [](Json& header, std::string&) {
    header["__metadata__"] = {{"made", "again"}};
  });
  EXPECT_NE(OpenCheckpoint(dir_.path())->identity, before);
}

}  // namespace
}  // namespace conclave
