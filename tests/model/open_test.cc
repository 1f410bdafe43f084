// Opening every checkpoint and config that ships: both spellings, one file and many.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "model/edge/checkpoint.h"

namespace conclave {
namespace {

std::string Path(const std::string& relative) {
  return absl::StrCat(CONCLAVE_SOURCE_DIR, "/", relative);
}

class OpensTest : public testing::TestWithParam<const char*> {};

TEST_P(OpensTest, EveryTensorIsThere) {
  const auto checkpoint = OpenCheckpoint(Path(GetParam()));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  std::uint64_t bytes = 0;
  for (const TensorSpec& spec : TensorsOf(checkpoint->config)) {
    const auto view = checkpoint->tensors->Find(spec.name);
    ASSERT_TRUE(view.ok()) << view.status();
    EXPECT_EQ(view->rows, spec.shape[0]);
    EXPECT_EQ(view->cols, spec.shape[1]);
    bytes += view->bytes();
  }
  EXPECT_EQ(bytes, checkpoint->bytes);
  EXPECT_EQ(checkpoint->tensors->Find("model.nothing").status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(OpenCheckpoint(Path(GetParam()))->identity, checkpoint->identity);
}

INSTANTIATE_TEST_SUITE_P(Shipped, OpensTest,
                         testing::Values("models/tales-128e", "tests/data/oracles/qwen3moe_128e",
                                         "tests/data/oracles/qwen3moe_16e_numpy",
                                         "tests/data/oracles/qwen3moe_mixed_tied_60e",
                                         "tests/data/oracles/qwen3moe_yarn",
                                         "tests/data/oracles/qwen3_dense_tied"));

TEST(OpenCheckpoint, IdentitiesDiffer) {
  EXPECT_NE(OpenCheckpoint(Path("models/tales-128e"))->identity,
            OpenCheckpoint(Path("tests/data/oracles/qwen3moe_yarn"))->identity);
}

}  // namespace
}  // namespace conclave
