// Sizes, shares of workers, and the search for values that are no numbers.
#include "model/edge/inspect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <numeric>

#include "model/edge/checkpoint.h"
#include "model/edge/mapped_file.h"
#include "model/memory_tensors.h"
#include "model/shapes.h"
#include "tests/support/files.h"
#include "tests/support/golden.h"

namespace conclave {
namespace {

using testing::HasSubstr;

TEST(Params, OfTheNamedShapes) {
  // The names of these models are their sizes.
  const ParamCounts small = CountParams(*NamedShape("qwen3-30b-a3b", 0));
  EXPECT_EQ(small.total, 30'532'122'624);
  EXPECT_NEAR(static_cast<double>(small.active) / 1e9, 3.0, 0.35);
  EXPECT_EQ(CountParams(*NamedShape("tiny", 0)).active, 118'400 - 319 * 64 + 3 * 4 * 9'216);
  const ParamCounts large = CountParams(*NamedShape("qwen3-235b-a22b", 0));
  EXPECT_EQ(large.total, 235'093'634'560);
  EXPECT_NEAR(static_cast<double>(large.active) / 1e9, 22, 0.5);
  EXPECT_EQ(large.experts, 94LL * 128 * large.per_expert);
  EXPECT_EQ(large.per_expert, 3LL * 4096 * 1536);
  EXPECT_EQ(large.experts + large.shared, large.total);
  EXPECT_EQ(KvBytesPerToken(*NamedShape("qwen3-235b-a22b", 0), 2), 192'512);
}

TEST(Params, NamedShapesAreTheRealConfigs) {
  for (const auto& [shape, file] : {std::pair("qwen3-30b-a3b", "Qwen3-30B-A3B.config.json"),
                                    std::pair("qwen3-235b-a22b", "Qwen3-235B-A22B.config.json")}) {
    const TempDir dir;
    WriteFile(dir / "config.json",
              ReadFile(RepositoryPath(std::string("tests/data/configs/") + file)));
    const auto real = LoadConfig(dir.path());
    const auto named = NamedShape(shape, 0);
    ASSERT_TRUE(real.ok() && named.ok());
    const std::vector<TensorSpec> a = TensorsOf(*real), b = TensorsOf(*named);
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      ASSERT_EQ(a[i].name, b[i].name);
      ASSERT_EQ(a[i].shape, b[i].shape) << a[i].name;
    }
    EXPECT_EQ(real->rope_theta, named->rope_theta);
    EXPECT_EQ(real->context, named->context);
    EXPECT_EQ(real->norm_topk, named->norm_topk);
    EXPECT_EQ(real->topk, named->topk);
    EXPECT_EQ(real->heads, named->heads);
  }
}

TEST(Params, EvenShares) {
  const auto config = NamedShape("qwen3-30b-a3b", 0);
  for (int workers = 1; workers <= 128; ++workers) {
    const std::vector<int> counts = EvenExpertCounts(*config, workers);
    ASSERT_EQ(counts.size(), static_cast<std::size_t>(workers));
    EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), 0), 48 * 128);
    const auto [low, high] = std::minmax_element(counts.begin(), counts.end());
    EXPECT_LE(*high - *low, 1) << workers;
  }
}

TEST(Inspect, TalesForThreeWorkers) {
  const auto inspection = InspectModel(RepositoryPath("models/tales-128e"), 3);
  ASSERT_TRUE(inspection.ok()) << inspection.status();
  EXPECT_EQ(inspection->bytes, 21434240u);  // as its index says
  EXPECT_EQ(inspection->params.total * 2, 21434240);
  std::uint64_t expert_bytes = 0;
  for (const WorkerLoad& load : inspection->workers) {
    expert_bytes += load.expert_bytes;
    EXPECT_EQ(load.bytes, load.expert_bytes + inspection->shared_bytes);
  }
  EXPECT_EQ(expert_bytes + inspection->shared_bytes, inspection->bytes);

  const auto json = nlohmann::json::parse(InspectJson(*inspection));
  EXPECT_EQ(json["name"], "tales-128e");
  EXPECT_EQ(json["config"]["experts"], 128);
  EXPECT_EQ(json["workers"].size(), 3u);
  EXPECT_EQ(json["workers"][0]["experts"], 171);
  std::uint64_t bytes = 0;
  int tensors = 0;
  for (const auto& group : json["groups"]) {
    bytes += group["bytes"].get<std::uint64_t>();
    tensors += group["count"].get<int>();
  }
  EXPECT_EQ(bytes, 21434240u);
  EXPECT_EQ(tensors, json["tensors"]);
}

TEST(Inspect, DenseModelsHaveNoExperts) {
  const auto inspection = InspectModel(RepositoryPath("tests/data/oracles/qwen3_dense_tied"), 2);
  ASSERT_TRUE(inspection.ok()) << inspection.status();
  EXPECT_EQ(inspection->workers[1].experts, 0);
  EXPECT_EQ(inspection->workers[1].bytes, inspection->bytes);
  EXPECT_EQ(inspection->params.active, inspection->params.total);
}

TEST(Inspect, WorkersAreBounded) {
  for (const int workers : {0, -1, 129}) {
    const auto inspection = InspectModel(RepositoryPath("models/tales-128e"), workers);
    EXPECT_THAT(std::string(inspection.status().message()), HasSubstr("workers: "));
  }
}

TEST(Verify, ShippedModelsAreFinite) {
  for (const char* const model :
       {"models/tales-128e", "tests/data/oracles/qwen3moe_mixed_tied_60e"}) {
    const auto checkpoint = OpenCheckpoint(RepositoryPath(model));
    std::uint64_t last = 0;
    EXPECT_TRUE(VerifyCheckpoint(*checkpoint, [&](std::uint64_t done, std::uint64_t) {
                  last = done;
                }).ok());
    EXPECT_EQ(last, checkpoint->bytes);
  }
}

// Letting go of pages must not change what is read, least of all in memory that no file backs.
TEST(Verify, LeavesTensorsAsTheyWere) {
  Checkpoint checkpoint;
  checkpoint.config = *NamedShape("qwen3-30b-a3b", 1);
  checkpoint.config.experts = 1;
  checkpoint.config.vocab = 1024;
  const auto twin = RandomTensors(checkpoint.config, 1, DType::kBf16);
  checkpoint.tensors = RandomTensors(checkpoint.config, 1, DType::kBf16);
  ASSERT_TRUE(VerifyCheckpoint(checkpoint, {}).ok());
  for (const TensorSpec& spec : TensorsOf(checkpoint.config)) {
    const auto a = checkpoint.tensors->Find(spec.name), b = twin->Find(spec.name);
    ASSERT_EQ(std::memcmp(a->data, b->data, a->bytes()), 0) << spec.name;
  }
}

// One bad element, at places where vector loops go wrong.
TEST(Verify, FindsOneBadElement) {
  const auto config = NamedShape("tiny", 1);
  const std::string name = "model.layers.0.mlp.experts.7.down_proj.weight";  // [64, 48]
  struct Bad {
    DType dtype;
    std::uint32_t bits;
  };
  for (const Bad bad :
       {Bad{DType::kBf16, 0x7f80}, Bad{DType::kBf16, 0xffc1}, Bad{DType::kF16, 0xfc00},
        Bad{DType::kF16, 0x7e00}, Bad{DType::kF32, 0x7f800000}, Bad{DType::kF32, 0xffffffff}}) {
    for (const std::size_t place : {0, 1, 2, 3, 3070, 3071}) {
      Checkpoint checkpoint;
      checkpoint.config = *config;
      auto tensors = RandomTensors(*config, 1, bad.dtype);
      std::vector<std::byte> bytes(64 * 48 * BytesOf(bad.dtype));
      std::memcpy(bytes.data() + place * BytesOf(bad.dtype), &bad.bits, BytesOf(bad.dtype));
      tensors->Add(name, bad.dtype, 64, 48, std::move(bytes));
      checkpoint.tensors = std::move(tensors);
      const absl::Status status = VerifyCheckpoint(checkpoint, {});
      EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
      EXPECT_THAT(std::string(status.message()),
                  HasSubstr("tensor " + name + ": NaN or infinity at row " +
                            std::to_string(place / 48) + ", column " + std::to_string(place % 48)));
    }
  }
}

TEST(MappedFile, MapsHintsAndRefuses) {
  const TempDir dir;
  WriteFile(dir / "some", std::string(10000, 'x'));
  WriteFile(dir / "none", "");
  auto file = MappedFile::Open(dir / "some");
  ASSERT_TRUE(file.ok());
  MappedFile::Prefetch(file->bytes().subspan(5000, 100));
  MappedFile::Release(file->bytes());
  MappedFile moved = std::move(*file);
  EXPECT_EQ(moved.bytes().size(), 10000u);
  EXPECT_EQ(moved.bytes()[9999], std::byte{'x'});
  EXPECT_TRUE(MappedFile::Open(dir / "none")->bytes().empty());
  EXPECT_EQ(MappedFile::Open(dir / "absent").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(MappedFile::Open(dir.path()).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(ReadSmallFile(dir / "some", 9999).ok());
  EXPECT_EQ(ReadSmallFile(dir / "some", 10000)->size(), 10000u);
}

}  // namespace
}  // namespace conclave
