// Random checkpoints: what is written is read back, is a function of the seed, and is sane.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <set>

#include "model/edge/checkpoint.h"
#include "model/memory_tensors.h"
#include "model/random_weights.h"
#include "model/shapes.h"
#include "tests/support/files.h"

namespace conclave {
namespace {

using testing::HasSubstr;

RandomCheckpoint Tiny(const TempDir& dir, std::uint64_t seed, DType dtype = DType::kBf16) {
  return {"tiny", 0, seed, dtype, dir / "model"};
}

float At(const TensorView& view, std::size_t i) {
  const std::byte* const p = view.data + i * BytesOf(view.dtype);
  switch (view.dtype) {
    case DType::kF32: {
      float value;
      std::memcpy(&value, p, sizeof value);
      return value;
    }
    case DType::kBf16: {
      Bf16 value;
      std::memcpy(&value, p, sizeof value);
      return ToFloat(value);
    }
    case DType::kF16: {
      F16 value;
      std::memcpy(&value, p, sizeof value);
      return ToFloat(value);
    }
  }
  return 0;
}

class RandomTest : public testing::TestWithParam<DType> {};

TEST_P(RandomTest, ComesBackAsWrittenAndEqualsMemory) {
  const TempDir dir;
  std::uint64_t last = 0, total = 0;
  ASSERT_TRUE(
      WriteRandomCheckpoint(Tiny(dir, 5, GetParam()), [&](std::uint64_t done, std::uint64_t all) {
        EXPECT_GE(done, last);
        last = done;
        total = all;
      }).ok());
  EXPECT_EQ(last, total);
  const auto checkpoint = OpenCheckpoint(dir / "model");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(checkpoint->bytes, total);
  EXPECT_EQ(checkpoint->config.dtype, GetParam());
  const auto shape = NamedShape("tiny", 0);
  const auto memory = RandomTensors(*shape, 5, GetParam());
  for (const TensorSpec& spec : TensorsOf(*shape)) {
    const auto on_disk = checkpoint->tensors->Find(spec.name);
    const auto in_memory = memory->Find(spec.name);
    ASSERT_TRUE(on_disk.ok() && in_memory.ok()) << spec.name;
    ASSERT_EQ(on_disk->dtype, GetParam());
    ASSERT_EQ(on_disk->bytes(), in_memory->bytes());
    ASSERT_EQ(std::memcmp(on_disk->data, in_memory->data, on_disk->bytes()), 0) << spec.name;
  }
  EXPECT_TRUE(VerifyCheckpoint(*checkpoint, {}).ok());
}

INSTANTIATE_TEST_SUITE_P(DTypes, RandomTest,
                         testing::Values(DType::kBf16, DType::kF16, DType::kF32));

TEST(RandomCheckpoint, SameSeedSameFiles) {
  const TempDir a, b, c;
  ASSERT_TRUE(WriteRandomCheckpoint(Tiny(a, 1), {}).ok());
  ASSERT_TRUE(WriteRandomCheckpoint(Tiny(b, 1), {}).ok());
  ASSERT_TRUE(WriteRandomCheckpoint(Tiny(c, 2), {}).ok());
  int differing = 0;
  for (const auto& entry : std::filesystem::directory_iterator(a / "model")) {
    const std::string name = "model/" + entry.path().filename().string();
    EXPECT_EQ(ReadFile(a / name), ReadFile(b / name)) << name;
    differing += ReadFile(a / name) != ReadFile(c / name);
  }
  EXPECT_EQ(differing, 1);  // the weights, and nothing else
  // Weights are another question than identity, which follows from config and headers.
  EXPECT_EQ(OpenCheckpoint(a / "model")->identity, OpenCheckpoint(b / "model")->identity);
}

TEST(RandomCheckpoint, LayersOfAShapeAreAsMany) {
  const TempDir dir;
  RandomCheckpoint ask = Tiny(dir, 1);
  ask.layers = 5;
  ASSERT_TRUE(WriteRandomCheckpoint(ask, {}).ok());
  EXPECT_EQ(OpenCheckpoint(dir / "model")->config.layers.size(), 5u);
}

TEST(RandomCheckpoint, Refusals) {
  const TempDir dir;
  RandomCheckpoint ask = Tiny(dir, 1);
  ask.shape = "gpt";
  EXPECT_THAT(std::string(WriteRandomCheckpoint(ask, {}).message()),
              HasSubstr("shape: \"gpt\" is not known"));
  ask = Tiny(dir, 1);
  ask.layers = 300;
  EXPECT_THAT(std::string(WriteRandomCheckpoint(ask, {}).message()), HasSubstr("layers: 300"));
  ask = Tiny(dir, 1);
  ask.out_dir = "";
  EXPECT_THAT(std::string(WriteRandomCheckpoint(ask, {}).message()), HasSubstr("out: "));
  WriteFile(dir / "file", "x");
  ask.out_dir = dir.path();
  EXPECT_THAT(std::string(WriteRandomCheckpoint(ask, {}).message()), HasSubstr("is not empty"));
  EXPECT_EQ(ReadFile(dir / "file"), "x");
  ask.out_dir = dir / "file";
  EXPECT_FALSE(WriteRandomCheckpoint(ask, {}).ok());
}

TEST(RandomWeights, NormalWithTheRightDeviation) {
  const auto config = NamedShape("tiny", 0);
  const auto tensors = RandomTensors(*config, 9, DType::kF32);
  for (const auto& [role, deviation] :
       {std::pair(TensorRole::kEmbedding, 1.0), std::pair(TensorRole::kHead, 0.125),
        std::pair(TensorRole::kQ, 0.125), std::pair(TensorRole::kRouter, 0.125),
        std::pair(TensorRole::kO, 1 / std::sqrt(128.0)),
        std::pair(TensorRole::kExpertDown, 1 / std::sqrt(48.0))}) {
    const bool outside = role == TensorRole::kEmbedding || role == TensorRole::kHead;
    const bool expert = role == TensorRole::kExpertDown;
    const auto view = tensors->Find(TensorName(*config, role, outside ? -1 : 0, expert ? 3 : -1));
    ASSERT_TRUE(view.ok());
    const auto n = static_cast<std::size_t>(view->rows * view->cols);
    double sum = 0, squares = 0, fourth = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const double x = static_cast<double>(At(*view, i)) / deviation;
      sum += x;
      squares += x * x;
      fourth += x * x * x * x;
    }
    const double count = static_cast<double>(n);
    // Five standard errors of each moment of a normal sample.
    EXPECT_NEAR(sum / count, 0, 5 / std::sqrt(count));
    EXPECT_NEAR(squares / count, 1, 5 * std::sqrt(2 / count));
    EXPECT_NEAR(fourth / count, 3, 5 * std::sqrt(96 / count));
  }
  const auto norm = tensors->Find("model.norm.weight");
  for (std::size_t i = 0; i < 64; ++i) EXPECT_EQ(At(*norm, i), 1.0f);
}

TEST(RandomWeights, AnyPieceEqualsTheWhole) {
  const auto config = NamedShape("tiny", 0);
  const RandomWeights weights(*config, 3, DType::kBf16);
  const TensorSpec spec = TensorsOf(*config)[0];
  std::vector<std::byte> whole(320 * 64 * 2);
  weights.Fill(spec, 0, whole);
  for (const std::size_t first : {0, 1, 7, 8, 9, 1000}) {
    for (const std::size_t count : {1, 3, 8, 17}) {
      std::vector<std::byte> piece(count * 2);
      weights.Fill(spec, first, piece);
      EXPECT_EQ(std::memcmp(piece.data(), whole.data() + first * 2, count * 2), 0)
          << first << " " << count;
    }
  }
}

// Halves against the float32 of the same draw: within half a unit of the last place, subnormals
// included.
TEST(RandomWeights, HalfPrecisionIsRounded) {
  const auto config = NamedShape("tiny", 0);
  const auto wide = RandomTensors(*config, 4, DType::kF32);
  const auto half = RandomTensors(*config, 4, DType::kF16);
  const auto w = wide->Find("model.embed_tokens.weight"),
             h = half->Find("model.embed_tokens.weight");
  std::set<float> values;
  for (std::size_t i = 0; i < 320 * 64; ++i) {
    const float x = At(*w, i);
    ASSERT_NEAR(At(*h, i), x, std::abs(x) * 0x1.01p-11f) << i;
    values.insert(x);
  }
  EXPECT_GT(values.size(), 4000u);
}

TEST(MemoryTensors, MadeByHand) {
  const auto config = NamedShape("tiny", 1);
  const auto tensors =
      MakeTensors(*config, [](const TensorSpec& spec, std::int64_t row, std::int64_t col) {
        return static_cast<float>(100 * (spec.expert + 1) + 10 * row + col);
      });
  const auto view = tensors->Find("model.layers.0.mlp.experts.2.up_proj.weight");
  ASSERT_TRUE(view.ok());
  EXPECT_EQ(At(*view, 64 + 3), 313.0f);
  EXPECT_EQ(tensors->Find("nothing").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace conclave
