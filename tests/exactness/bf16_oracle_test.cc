// The fast kernels with a bf16 cache against independent references, within bounds counted from
// the roundings on the way (bounds.cc).
//
// Tried, with avx512: the eighth expert left out of the sum (caught by all models that have
// experts), q's norm weights used for k (by all), K cut to 2 bits behind the point (by all).
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "kernels/kernel_set.h"
#include "tests/exactness/oracle.h"

namespace conclave {
namespace {

class Bf16OracleTest : public testing::TestWithParam<const char*> {};

TEST_P(Bf16OracleTest, FastKernelsAgree) {
  std::vector<std::string> filled;
  const absl::StatusOr<KernelSet> kernels = SelectKernels(KernelChoice::kAuto, filled);
  ASSERT_TRUE(kernels.ok()) << kernels.status();
  const Oracle oracle = OpenOracle(GetParam());
  TestCluster cluster(oracle.checkpoint.config, *oracle.checkpoint.tensors,
                      {.workers = 2, .kernels = &*kernels, .kv_dtype = DType::kBf16});
  std::vector<TestRequest> requests;
  for (const GoldenPrompt& prompt : oracle.golden.prompts) requests.push_back(RequestOf(prompt));
  const std::vector<TestOutput> outputs = Serve(cluster, requests, {.chunk = 48});
  const OracleBounds bounds = Bf16Bounds(oracle.checkpoint);
  OracleTally tally;
  int tokens = 0;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    SCOPED_TRACE("prompt " + std::to_string(i));
    ExpectOracle(oracle, oracle.golden.prompts[i], outputs[i], bounds, tally);
    tokens += oracle.golden.prompts[i].tokens();
  }
  // The bounds must say something.
  RecordProperty("logprob_bound", std::to_string(tally.widest));
  RecordProperty("worst_over_bound", std::to_string(tally.worst));
  EXPECT_GT(tally.logprobs, 100);
  EXPECT_LT(tally.widest, 0.6);
  if (kernels->activation == DType::kBf16) {
    EXPECT_GT(tally.worst, 0.05);  // and not be wide of the mark
  }
  EXPECT_LT(tally.rows_rerouted, tokens / 4);
}

INSTANTIATE_TEST_SUITE_P(Shipped, Bf16OracleTest,
                         testing::Values("models/tales-128e", "tests/data/oracles/qwen3moe_128e",
                                         "tests/data/oracles/qwen3moe_16e_numpy",
                                         "tests/data/oracles/qwen3moe_mixed_tied_60e",
                                         "tests/data/oracles/qwen3moe_yarn",
                                         "tests/data/oracles/qwen3_dense_tied"));

}  // namespace
}  // namespace conclave
