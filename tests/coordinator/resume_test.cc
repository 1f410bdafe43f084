#include "coordinator/resume.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "plan_bench.h"

namespace conclave {
namespace {

CoordinatorConfig ConfigOf(int step_rows) {
  CoordinatorConfig config;
  config.first_rows = step_rows;
  config.worker_rows_max = step_rows;
  return config;
}

std::vector<RequestId> LivingAt(PlanBench& bench, const std::vector<RequestId>& ids, int slot) {
  std::vector<RequestId> found;
  for (const RequestId id : ids) {
    if (bench.Find(id) != nullptr && bench.Find(id)->home == Slot{slot}) found.push_back(id);
  }
  return found;
}

class Loss : public testing::Test {
 protected:
  // Twelve long answers on three workers, four each; the last worker is lost.
  void Lose() {
    for (int i = 0; i < 12; ++i) {
      ids_.push_back(bench_.Ask(AskOf(absl::StrCat("r", i), PromptOf(150 + i, i), 120)));
    }
    while (std::ranges::any_of(ids_, [&](RequestId id) { return bench_.At(id).ids.empty(); })) {
      bench_.Go(1);
    }
    bench_.Go(5);
    lost_ = LivingAt(bench_, ids_, 2);
    ASSERT_EQ(lost_.size(), 4u);
    bench_.Lose(2);
    bench_.Reform();
    first_ = bench_.plans().size();
  }

  PlanBench bench_{ConfigOf(30), {{.kv_blocks = 120}, {.kv_blocks = 120}, {.kv_blocks = 120}}};
  std::vector<RequestId> ids_, lost_;
  std::size_t first_ = 0;  // the first plan after the loss
};

TEST_F(Loss, ThoseOfOneWorkerSpreadOverTheOthersInTheOrderOfArrival) {
  Lose();
  std::vector<RequestId> back;
  while (back.size() < lost_.size()) {
    bench_.Go(1);
    for (const RequestId id : lost_) {
      const bool runs = bench_.Find(id)->state == RequestState::kRunning;
      if (runs && std::ranges::find(back, id) == back.end()) back.push_back(id);
    }
    ASSERT_LT(bench_.plans().size(), first_ + 40);
  }
  EXPECT_EQ(back, lost_) << "the first to come is the first to go on";
  EXPECT_EQ(LivingAt(bench_, ids_, 0).size(), 6u);
  EXPECT_EQ(LivingAt(bench_, ids_, 1).size(), 6u);
  bench_.Go();
  bench_.ExpectExact();
}

TEST_F(Loss, WhoeverWasNotHitHasATokenInEveryStep) {
  Lose();
  const std::size_t others = ids_.size() - lost_.size();
  bool recomputed = true;
  for (std::size_t rounds = 0; recomputed; ++rounds) {
    ASSERT_LT(rounds, 60u);
    bench_.Go(1);
    recomputed = std::ranges::any_of(lost_, [&](RequestId id) {
      return bench_.Find(id)->state == RequestState::kWaiting || !bench_.Find(id)->decoding();
    });
  }
  ASSERT_GT(bench_.plans().size(), first_ + 10) << "it took a while";
  const std::set<SeqId> stayed = [&] {
    std::set<SeqId> seqs;
    for (const RequestId id : ids_) {
      if (std::ranges::find(lost_, id) == lost_.end()) seqs.insert(bench_.Find(id)->seq);
    }
    return seqs;
  }();
  for (std::size_t i = first_; i < bench_.plans().size(); ++i) {
    std::size_t decoded = 0;
    for (const WorkerPart& part : bench_.plans()[i].parts) {
      EXPECT_LE(part.rows(), 60);
      for (const Chunk& chunk : part.chunks) decoded += stayed.contains(chunk.seq) ? 1 : 0;
    }
    EXPECT_EQ(decoded, others) << "plan " << i - first_;
  }
  bench_.Go();
  bench_.ExpectExact();
}

TEST_F(Loss, AnAnswerThatHasBegunGoesBeforePromptsThatCameLater) {
  Lose();
  for (int i = 0; i < 4; ++i) {
    bench_.Ask(AskOf(absl::StrCat("late", i), PromptOf(500, 20 + i), 2));
  }
  for (int rounds = 0; bench_.At(RequestId{13}).ids.empty(); ++rounds) {
    ASSERT_LT(rounds, 200);
    bench_.Go(1);
  }
  for (const RequestId id : lost_) {
    EXPECT_LT(bench_.StepsOf(id)[6], bench_.StepsOf(RequestId{13})[0]) << id.value;
  }
  bench_.Go();
  bench_.ExpectExact();
}

// A prompt that is half done when the worker of another request goes: its rows can wait, those of
// an answer cannot.
TEST(Resume, AnAnswerThatIsComputedAgainGoesBeforePromptsThatHaveBegun) {
  PlanBench bench(ConfigOf(24), {{.kv_blocks = 100}, {.kv_blocks = 100}});
  const RequestId answer = bench.Ask(AskOf("answer", PromptOf(100), 60));
  bench.Go(8);
  ASSERT_EQ(bench.Find(answer)->home, Slot{0});
  ASSERT_FALSE(bench.At(answer).ids.empty());
  const RequestId prompt = bench.Ask(AskOf("prompt", PromptOf(600, 1), 4));
  bench.Go(4);
  ASSERT_EQ(bench.Find(prompt)->home, Slot{1});
  const std::size_t said = bench.At(answer).ids.size();
  bench.Lose(0);
  bench.Reform();
  bench.Go(8);
  EXPECT_GT(bench.At(answer).ids.size(), said);
  EXPECT_FALSE(bench.Find(prompt)->decoding());
  bench.Go();
  bench.ExpectExact();
}

TEST(Resume, WhatAStepThatNeverRanWasToWriteIsNotShared) {
  PlanBench bench(ConfigOf(200), {{.rows_max = 64}});
  bench.Ask(AskOf("first", PromptOf(100), 5));
  ASSERT_TRUE(bench.Plan());
  const RequestId second = bench.Ask(AskOf("second", PromptOf(100), 5));
  ASSERT_TRUE(bench.Plan());
  ASSERT_EQ(bench.Find(second)->usage.cached_prompt_tokens, 64);
  bench.Reform();
  bench.Go();
  bench.ExpectExact();
}

}  // namespace
}  // namespace conclave
