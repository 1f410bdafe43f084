// Loading: what is missing is named, progress ends at its total, memory goes back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/memory_tensors.h"
#include "model/shapes.h"
#include "tests/worker/test_worker.h"

namespace conclave {
namespace {

// Counts bytes and can run out.
class Purse final : public Memory {
 public:
  explicit Purse(std::size_t room) : room_(room) {}
  absl::StatusOr<std::span<std::byte>> Take(std::size_t bytes) override {
    if (bytes > room_ - used_) return absl::ResourceExhaustedError("the purse is empty");
    used_ += bytes;
    return SharedHeap().Take(bytes);
  }
  void Give(std::span<std::byte> bytes) override {
    used_ -= bytes.size();
    SharedHeap().Give(bytes);
  }
  std::size_t used() const { return used_; }

 private:
  std::size_t room_;
  std::size_t used_ = 0;
};

// Everything of a model but one tensor.
class Without final : public TensorSource {
 public:
  Without(const TensorSource& all, std::string name) : all_(all), name_(std::move(name)) {}
  absl::StatusOr<TensorView> Find(const std::string& name) const override {
    if (name == name_) return absl::NotFoundError("no tensor " + name);
    return all_.Find(name);
  }

 private:
  const TensorSource& all_;
  std::string name_;
};

class ShardTest : public testing::Test {
 protected:
  ShardTest() : model_(*NamedShape("tiny", 2)), tensors_(RandomTensors(model_, 3, DType::kBf16)) {
    SetComputeThreadFloatMode();
  }
  absl::StatusOr<std::unique_ptr<Shard>> Load(const TensorSource& tensors, Memory& memory,
                                              Role role = Role::kWorker, std::uint64_t limit = 0) {
    return Shard::Load({.model = model_,
                        .tensors = tensors,
                        .kernels = kRefKernels,
                        .role = role,
                        .lanes = lanes_,
                        .memory = memory,
                        .progress =
                            [this](std::uint64_t done, std::uint64_t total) {
                              EXPECT_LE(done, total);
                              done_ = done;
                              total_ = total;
                            },
                        .expert_memory_bytes = limit});
  }
  Placement EvenAmong(int slots) const {
    PlacementBuilder placement(model_.moe_layers, model_.experts);
    for (int l = 0; l < model_.moe_layers; ++l) {
      for (int e = 0; e < model_.experts; ++e) placement.AddOwner(l, e, Slot{e % slots});
    }
    return placement.Build();
  }

  ModelConfig model_;
  std::unique_ptr<MemoryTensors> tensors_;
  LanesInTurn lanes_{2};
  std::uint64_t done_ = 0;
  std::uint64_t total_ = 0;
};

TEST_F(ShardTest, TakesWhatItNeedsAndGivesItBack) {
  Purse purse(std::size_t{1} << 32);
  {
    auto shard = Load(*tensors_, purse);
    ASSERT_TRUE(shard.ok()) << shard.status();
    EXPECT_EQ(purse.used(), (*shard)->shared_bytes());
    EXPECT_EQ(done_, total_);
    ASSERT_TRUE((*shard)->LoadMissingExperts(EvenAmong(2), Slot{1}).ok());
    EXPECT_EQ(purse.used(), (*shard)->shared_bytes() + (*shard)->expert_bytes());
    EXPECT_EQ(done_, (*shard)->expert_bytes());
    EXPECT_EQ(done_, total_);
    const PackedFfn kept = (*shard)->Expert(0, 3);
    ASSERT_TRUE((*shard)->LoadMissingExperts(EvenAmong(4), Slot{3}).ok());
    EXPECT_EQ((*shard)->Expert(0, 3).data, kept.data) << "what stays is not packed again";
    EXPECT_TRUE((*shard)->Holds(0, 1)) << "nothing is dropped while there is room";
    const Placement quarter = EvenAmong(4);
    const Shard::Share share{quarter, Slot{3}};
    (*shard)->Trim({&share, 1}).clear();
    EXPECT_FALSE((*shard)->Holds(0, 1));
    EXPECT_TRUE((*shard)->Holds(0, 3));
    EXPECT_EQ(purse.used(), (*shard)->shared_bytes() + (*shard)->expert_bytes());
  }
  EXPECT_EQ(purse.used(), 0u);
}

TEST_F(ShardTest, ExpertRoleHoldsExpertsOnly) {
  Purse purse(std::size_t{1} << 32);
  auto shard = Load(*tensors_, purse, Role::kExpert);
  ASSERT_TRUE(shard.ok());
  EXPECT_EQ(purse.used(), 0u);
}

TEST_F(ShardTest, MissingTensorsAreNamed) {
  for (const char* name : {"model.layers.1.self_attn.k_proj.weight", "model.norm.weight",
                           "model.layers.0.mlp.gate.weight"}) {
    const Without without(*tensors_, name);
    EXPECT_THAT(std::string(Load(without, SharedHeap()).status().message()),
                testing::HasSubstr(name));
  }
  const Without expert(*tensors_, "model.layers.1.mlp.experts.5.up_proj.weight");
  auto shard = Load(expert, SharedHeap());
  ASSERT_TRUE(shard.ok());
  EXPECT_THAT(std::string((*shard)->LoadMissingExperts(EvenAmong(1), Slot{0}).message()),
              testing::HasSubstr("experts.5.up_proj"));
}

TEST_F(ShardTest, RunningOutOfMemoryIsAStatusAndCanBeRetried) {
  Purse poor(100);
  EXPECT_EQ(Load(*tensors_, poor).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(poor.used(), 0u);
  auto probe = Load(*tensors_, SharedHeap(), Role::kExpert);
  Purse few(static_cast<std::size_t>((*probe)->one_expert_bytes()) * 10);
  auto shard = Load(*tensors_, few, Role::kExpert);
  ASSERT_TRUE(shard.ok());
  EXPECT_EQ((*shard)->LoadMissingExperts(EvenAmong(1), Slot{0}).code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(few.used(), 0u);
  EXPECT_TRUE((*shard)->LoadMissingExperts(EvenAmong(100), Slot{0}).ok());
}

// With a limit that holds either share but not both, the urgent load makes room, the patient one
// says that it cannot.
TEST_F(ShardTest, ALimitIsKept) {
  auto probe = Load(*tensors_, SharedHeap(), Role::kExpert);
  ASSERT_TRUE(probe.ok());
  const std::uint64_t each = (*probe)->one_expert_bytes();
  const Placement halves = EvenAmong(2);
  const auto half = static_cast<std::uint64_t>(model_.experts / 2 * model_.moe_layers);
  auto shard = Load(*tensors_, SharedHeap(), Role::kExpert, each * (half + 3));
  ASSERT_TRUE(shard.ok());
  ASSERT_TRUE((*shard)->LoadMissingExperts(halves, Slot{0}).ok());
  EXPECT_TRUE((*shard)->Room(3).ok());
  const absl::Status full = (*shard)->Room(4);
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(full.message()), testing::HasSubstr(std::to_string(each * half)));
  ASSERT_TRUE((*shard)->LoadMissingExperts(halves, Slot{1}).ok());
  EXPECT_FALSE((*shard)->Holds(0, 0));
  EXPECT_EQ((*shard)->expert_bytes(), each * half);
  EXPECT_EQ((*shard)->LoadMissingExperts(EvenAmong(1), Slot{0}).code(),
            absl::StatusCode::kResourceExhausted);
}

TEST_F(ShardTest, ExpertsArePutOneByOne) {
  Purse purse(std::size_t{1} << 32);
  auto shard = Load(*tensors_, purse, Role::kExpert);
  ASSERT_TRUE(shard.ok());
  const Placement halves = EvenAmong(2);
  const auto missing = (*shard)->Missing({halves, Slot{1}});
  ASSERT_TRUE(missing.ok());
  EXPECT_EQ(missing->size(), static_cast<std::size_t>(model_.experts / 2 * model_.moe_layers));
  auto first = (*shard)->Pack(missing->front());
  auto twice = (*shard)->Pack(missing->front());
  ASSERT_TRUE(first.ok() && twice.ok());
  EXPECT_FALSE((*shard)->Holds(0, 1));
  (*shard)->Put(*std::move(first));
  (*shard)->Put(*std::move(twice));
  EXPECT_TRUE((*shard)->Holds(0, 1));
  EXPECT_EQ((*shard)->expert_bytes(), (*shard)->one_expert_bytes());
  twice = absl::CancelledError("let go");
  EXPECT_EQ(purse.used(), (*shard)->expert_bytes()) << "the second of the same is given back";
  EXPECT_EQ((*shard)->Missing({halves, Slot{1}})->size(), missing->size() - 1);
  EXPECT_FALSE((*shard)->Missing({Placement(1, 2), Slot{1}}).ok());
  (*shard)->Trim({}).clear();
  EXPECT_EQ(purse.used(), 0u);
}

}  // namespace
}  // namespace conclave
