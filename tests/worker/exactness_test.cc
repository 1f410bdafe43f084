// One stream of bits, however the work is cut up: chunks, batches, workers, placements, lanes.
#include <gtest/gtest.h>

#include <string>

#include "base/philox.h"
#include "model/edge/checkpoint.h"
#include "tests/support/golden.h"
#include "tests/worker/serve.h"

namespace conclave {
namespace {

// Greedy and sampled, with everything that can be reported, of many lengths. The last token of a
// chunk, a block (32) and a logit block (64) are all crossed.
std::vector<TestRequest> Requests(const ModelConfig& model) {
  std::vector<TestRequest> requests;
  Rng rng(7);
  const int lengths[] = {1, 7, 31, 32, 33, 70, 131};
  for (std::size_t i = 0; i < std::size(lengths); ++i) {
    TestRequest request{.prompt = {}, .sampling = {}, .max_tokens = 5 + static_cast<int>(i % 3)};
    for (int t = 0; t < lengths[i]; ++t) {
      request.prompt.push_back(
          static_cast<TokenId>(rng.Below(static_cast<std::uint64_t>(model.vocab))));
    }
    request.arrives = static_cast<int>(rng.Below(6));
    request.sampling.seed = 100 + i;
    request.sampling.temperature = i % 2 == 0 ? 0.0 : 0.8;
    request.sampling.top_p = i % 4 == 1 ? 0.9 : 1.0;
    request.sampling.top_k = i % 4 == 3 ? 40 : 0;
    request.sampling.repetition_penalty = i == 5 ? 1.2 : 1.0;
    request.sampling.logprobs = 3;
    if (i != 4) request.sampling.prompt_logprobs = 2;
    request.sampling.routed_experts = i % 3 != 0;
    requests.push_back(request);
  }
  return requests;
}

struct Ground {
  Checkpoint checkpoint;
  KernelSet kernels;
  std::vector<TestRequest> requests;
  std::vector<TestOutput> want;

  TestClusterOptions Options() const {
    return {.kernels = &kernels, .kv_dtype = kernels.name == "ref" ? DType::kF32 : DType::kBf16};
  }
  std::vector<TestOutput> Run(const TestClusterOptions& options, const ServeOptions& serve) const {
    TestCluster cluster(checkpoint.config, *checkpoint.tensors, options);
    return Serve(cluster, requests, serve);
  }
};

struct Case {
  const char* model;
  KernelChoice kernels;
};

// Made once: what one worker says, with whole prompts.
class ExactnessTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    absl::StatusOr<Checkpoint> checkpoint = OpenCheckpoint(RepositoryPath(GetParam().model));
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    std::vector<std::string> filled;
    absl::StatusOr<KernelSet> kernels = SelectKernels(GetParam().kernels, filled);
    ASSERT_TRUE(kernels.ok()) << kernels.status();
    ground_ = {*std::move(checkpoint), *kernels, {}, {}};
    ground_.requests = Requests(ground_.checkpoint.config);
    ground_.want = ground_.Run(ground_.Options(), {});
  }
  void Expect(const std::vector<TestOutput>& got) const {
    for (std::size_t i = 0; i < got.size(); ++i) {
      EXPECT_EQ(got[i].tokens, ground_.want[i].tokens) << "request " << i;
      EXPECT_EQ(got[i], ground_.want[i]) << "request " << i;
    }
  }
  Ground ground_;
};

TEST_P(ExactnessTest, ChunksOfAnySize) {
  for (const int chunk : {1, 7, 64}) {
    SCOPED_TRACE(chunk);
    Expect(ground_.Run(ground_.Options(), {.chunk = chunk}));
  }
}

TEST_P(ExactnessTest, AloneOrInABatch) {
  Expect(ground_.Run(ground_.Options(), {.concurrent = 1}));
}

TEST_P(ExactnessTest, AnyNumberOfWorkers) {
  for (const int workers : {2, 3, 5}) {
    SCOPED_TRACE(workers);
    TestClusterOptions options = ground_.Options();
    options.workers = workers;
    Expect(ground_.Run(options, {.chunk = workers == 3 ? 7 : 512}));
  }
}

// A decode step has fewer rows than most of these have rounds, and workers without rows of their own
// run all rounds.
TEST_P(ExactnessTest, AnyNumberOfRounds) {
  struct Cut {
    int workers, expert_workers, rounds;
  };
  for (const Cut cut : {Cut{3, 0, 2}, Cut{2, 1, 3}, Cut{5, 0, 7}, Cut{1, 0, 3}, Cut{2, 0, 50}}) {
    SCOPED_TRACE(cut.rounds);
    TestClusterOptions options = ground_.Options();
    options.workers = cut.workers;
    options.expert_workers = cut.expert_workers;
    options.rounds = cut.rounds;
    Expect(ground_.Run(options, {.chunk = cut.rounds == 7 ? 20 : 512}));
  }
}

// Workers with memory for a handful of rows run steps of any size, also when one of them owns every
// expert, so that all rows arrive there.
TEST_P(ExactnessTest, LittleMemoryForArrivals) {
  for (const bool skewed : {false, true}) {
    SCOPED_TRACE(skewed);
    TestClusterOptions options = ground_.Options();
    options.workers = 3;
    options.lanes = 2;
    options.arrivals_max = 5;
    if (skewed) options.owners = [](int, int, int) { return std::vector<int>{1}; };
    Expect(ground_.Run(options, {.chunk = 40}));
  }
}

TEST_P(ExactnessTest, ExpertWorkersPresent) {
  TestClusterOptions options = ground_.Options();
  options.workers = 2;
  options.expert_workers = 2;
  Expect(ground_.Run(options, {.chunk = 20}));
}

TEST_P(ExactnessTest, ManyLanes) {
  TestClusterOptions options = ground_.Options();
  options.workers = 2;
  options.lanes = 3;
  Expect(ground_.Run(options, {}));
}

TEST_P(ExactnessTest, ReplicasAndUnequalShares) {
  TestClusterOptions options = ground_.Options();
  options.workers = 3;
  // Worker 0 owns everything of layer 0; elsewhere it owns nothing, and every third has a replica.
  options.owners = [](int layer, int expert, int) -> std::vector<int> {
    if (layer == 0) return {0};
    if (expert % 3 == 0) return {1, 2};
    return {1 + expert % 2};
  };
  Expect(ground_.Run(options, {.chunk = 33}));
}

TEST_P(ExactnessTest, ExpertsMoveBetweenSteps) {
  TestClusterOptions options = ground_.Options();
  options.workers = 3;
  TestCluster cluster(ground_.checkpoint.config, *ground_.checkpoint.tensors, options);
  const ModelConfig& model = ground_.checkpoint.config;
  const auto rotate = [&](int now) {
    if (now % 4 != 3) return;
    PlacementBuilder placement(model.moe_layers, model.experts);
    for (int l = 0; l < model.moe_layers; ++l) {
      for (int e = 0; e < model.experts; ++e) placement.AddOwner(l, e, Slot{(e + now) % 3});
    }
    cluster.Reconfigure(placement.Build());
  };
  Expect(Serve(cluster, ground_.requests, {.chunk = 16, .before_step = rotate}));
}

std::vector<Case> Cases() {
  std::vector<Case> cases = {{"tests/data/oracles/qwen3moe_128e", KernelChoice::kRef},
                             {"tests/data/oracles/qwen3moe_mixed_tied_60e", KernelChoice::kRef},
                             {"tests/data/oracles/qwen3_dense_tied", KernelChoice::kRef}};
  if (KernelSetsHere().front() != "ref") {
    cases.push_back({"tests/data/oracles/qwen3moe_mixed_tied_60e", KernelChoice::kAuto});
    cases.push_back({"models/tales-128e", KernelChoice::kAuto});
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Models, ExactnessTest, testing::ValuesIn(Cases()));

// With one worker nothing goes over a wire; with two, every MoE layer exchanges twice per round,
// rows or not.
TEST(Exchanges, HappenWhenThereIsSomebodyElse) {
  const auto checkpoint =
      OpenCheckpoint(RepositoryPath("tests/data/oracles/qwen3moe_mixed_tied_60e"));
  ASSERT_TRUE(checkpoint.ok());
  TestCluster one(checkpoint->config, *checkpoint->tensors, {});
  EXPECT_TRUE(one.Run(one.EmptyParts()).ok());
  EXPECT_EQ(one.exchanges(), 0u);
  TestCluster two(checkpoint->config, *checkpoint->tensors, {.workers = 1, .expert_workers = 1});
  EXPECT_TRUE(two.Run(two.EmptyParts()).ok());
  const auto layers = static_cast<unsigned>(checkpoint->config.moe_layers);
  EXPECT_EQ(two.exchanges(), 2u * layers);
  TestCluster rounds(checkpoint->config, *checkpoint->tensors, {.workers = 2, .rounds = 3});
  EXPECT_TRUE(rounds.Run(rounds.EmptyParts()).ok());
  EXPECT_EQ(rounds.exchanges(), 3u * 2u * layers);
}

}  // namespace
}  // namespace conclave
