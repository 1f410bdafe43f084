#include "coordinator/admission.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "world.h"

namespace conclave {
namespace {

class Door {
 public:
  Door() : text_(MakeToyText()), context_{.config = config, .model = model, .text = text_.get()} {
    model.facts = FakeFacts();
    model.eos_ids = {17};
    context_.blocks_max = 100;
  }
  Admission Knock(ClientAsk ask) {
    return Admit({.now = 5, .request = RequestId{1}, .ask = ask}, context_);
  }
  std::unique_ptr<Request> In(ClientAsk ask) {
    Admission admission = Knock(std::move(ask));
    if (auto* ending = std::get_if<Ending>(&admission)) {
      ADD_FAILURE() << ending->field << ": " << ending->message;
      return nullptr;
    }
    return std::get<std::unique_ptr<Request>>(std::move(admission));
  }

  CoordinatorConfig config;
  ServedModel model;

 private:
  std::unique_ptr<Text> text_;

 public:
  AdmissionContext context_;
};

ClientAsk Good() { return AskOf("r", PromptOf(10), 8); }

struct Bad {
  std::string field;
  std::function<void(ClientAsk&)> spoil;
};

TEST(Admission, EveryBadFieldIsNamed) {
  const double nan = std::nan("");
  const double infinity = std::numeric_limits<double>::infinity();
  const auto float_nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<Bad> all = {
      {"request_id", [](ClientAsk& ask) { ask.id = std::string(129, 'x'); }},
      {"request_id", [](ClientAsk& ask) { ask.id.clear(); }},
      {"prompt.token_ids", [](ClientAsk& ask) { ask.prompt.clear(); }},
      {"prompt.token_ids", [](ClientAsk& ask) { ask.prompt = PromptOf(1024); }},
      {"prompt.token_ids", [](ClientAsk& ask) { ask.prompt[3] = 934; }},
      {"prompt.token_ids", [](ClientAsk& ask) { ask.prompt[3] = -1; }},
      {"sampling.temperature", [=](ClientAsk& ask) { ask.temperature = nan; }},
      {"sampling.temperature", [](ClientAsk& ask) { ask.temperature = -0.1; }},
      {"sampling.temperature", [=](ClientAsk& ask) { ask.temperature = infinity; }},
      {"sampling.top_p", [](ClientAsk& ask) { ask.top_p = 0; }},
      {"sampling.top_p", [](ClientAsk& ask) { ask.top_p = 1.01; }},
      {"sampling.top_p", [=](ClientAsk& ask) { ask.top_p = nan; }},
      {"sampling.min_p", [](ClientAsk& ask) { ask.min_p = -0.1; }},
      {"sampling.min_p", [=](ClientAsk& ask) { ask.min_p = nan; }},
      {"sampling.top_k", [](ClientAsk& ask) { ask.top_k = -1; }},
      {"sampling.top_k", [](ClientAsk& ask) { ask.top_k = 935; }},
      {"sampling.repetition_penalty", [](ClientAsk& ask) { ask.repetition_penalty = 0; }},
      {"sampling.repetition_penalty", [=](ClientAsk& ask) { ask.repetition_penalty = nan; }},
      {"sampling.presence_penalty", [](ClientAsk& ask) { ask.presence_penalty = 2.1; }},
      {"sampling.frequency_penalty", [](ClientAsk& ask) { ask.frequency_penalty = -2.1; }},
      {"sampling.frequency_penalty", [=](ClientAsk& ask) { ask.frequency_penalty = nan; }},
      {"sampling.logit_bias",
       [](ClientAsk& ask) {
         ask.logit_bias = {{934, 1.0f}};
       }},
      {"sampling.logit_bias",
       [=](ClientAsk& ask) {
         ask.logit_bias = {{3, float_nan}};
       }},
      {"sampling.logit_bias",
       [](ClientAsk& ask) {
         ask.logit_bias = {{3, 1.0f}, {3, 2.0f}};
       }},
      {"sampling.logit_bias", [](ClientAsk& ask) { ask.logit_bias.resize(1025); }},
      {"stop.max_tokens", [](ClientAsk& ask) { ask.max_tokens = 0; }},
      {"stop.max_tokens", [](ClientAsk& ask) { ask.max_tokens = -5; }},
      {"stop.min_tokens", [](ClientAsk& ask) { ask.min_tokens = 9; }},
      {"stop.min_tokens", [](ClientAsk& ask) { ask.min_tokens = -1; }},
      {"stop.strings", [](ClientAsk& ask) { ask.stop.assign(17, "x"); }},
      {"stop.strings", [](ClientAsk& ask) { ask.stop = {std::string(257, 'x')}; }},
      {"stop.strings", [](ClientAsk& ask) { ask.stop = {""}; }},
      {"stop.strings", [](ClientAsk& ask) { ask.stop = {"\x80"}; }},
      {"stop.token_ids", [](ClientAsk& ask) { ask.stop_ids = {934}; }},
      {"stop.token_ids",
       [](ClientAsk& ask) {
         for (int i = 100; i < 164; ++i) ask.stop_ids.push_back(i);
       }},
      {"output.logprobs", [](ClientAsk& ask) { ask.logprobs = 33; }},
      {"output.logprobs", [](ClientAsk& ask) { ask.logprobs = -1; }},
      {"output.prompt_logprobs", [](ClientAsk& ask) { ask.prompt_logprobs = 33; }},
      {"resume_after", [](ClientAsk& ask) { ask.resume_after = -1; }},
      {"resume_after", [](ClientAsk& ask) { ask.resume_after = 1025; }},
  };
  for (const Bad& bad : all) {
    Door door;
    ClientAsk ask = Good();
    bad.spoil(ask);
    const Admission admission = door.Knock(ask);
    ASSERT_TRUE(std::holds_alternative<Ending>(admission)) << bad.field;
    EXPECT_EQ(std::get<Ending>(admission).end, End::kRefused);
    EXPECT_EQ(std::get<Ending>(admission).field, bad.field);
    EXPECT_FALSE(std::get<Ending>(admission).message.empty());
  }
}

TEST(Admission, WhatIsAtTheEdgeIsGood) {
  Door door;
  ClientAsk ask = Good();
  ask.prompt = PromptOf(1023);
  ask.temperature = 0;
  ask.top_p = 1;
  ask.min_p = 0;
  ask.top_k = 934;
  ask.presence_penalty = -2;
  ask.logprobs = 32;
  ask.min_tokens = 8;
  ask.stop.assign(16, std::string(256, 'x'));
  ask.resume_after = 1024;
  const auto request = door.In(ask);
  ASSERT_NE(request, nullptr);
  EXPECT_EQ(request->length_max, 1024) << "the context cuts max_tokens";
}

TEST(Admission, UnsetMeansTheModelsDefaultThenTheNeutralValue) {
  Door door;
  ClientAsk ask = Good();
  ask.temperature.reset();
  ask.fallback_seed = 99;
  auto request = door.In(ask);
  EXPECT_EQ(request->sampling.temperature, 1.0);
  EXPECT_EQ(request->sampling.top_k, 0);
  EXPECT_EQ(request->sampling.top_p, 1.0);
  EXPECT_EQ(request->sampling.seed, 99u);
  door.model.temperature = 0.6;
  door.model.top_k = 20;
  door.model.top_p = 0.95;
  door.model.repetition_penalty = 1.1;
  request = door.In(ask);
  EXPECT_EQ(request->sampling.temperature, 0.6);
  EXPECT_EQ(request->sampling.top_k, 20);
  EXPECT_EQ(request->sampling.top_p, 0.95);
  EXPECT_EQ(request->sampling.repetition_penalty, 1.1);
  ask.temperature = 0;
  ask.top_k = 0;
  ask.seed = 0;
  request = door.In(ask);
  EXPECT_EQ(request->sampling.temperature, 0.0) << "zero is a value, not a default";
  EXPECT_EQ(request->sampling.top_k, 0);
  EXPECT_EQ(request->sampling.seed, 0u);
}

TEST(Admission, StopIdsAreTheUnionAndRise) {
  Door door;
  ClientAsk ask = Good();
  ask.stop_ids = {40, 5, 40};
  EXPECT_EQ(door.In(ask)->sampling.stop_ids, (std::vector<TokenId>{5, 17, 40}));
  ask.ignore_eos = true;
  EXPECT_EQ(door.In(ask)->sampling.stop_ids, (std::vector<TokenId>{5, 40}));
}

TEST(Admission, WhatCanNeverFitIsRefused) {
  Door door;
  door.context_.blocks_max = 2;  // 64 positions, 65 tokens
  ClientAsk ask = AskOf("r", PromptOf(60), 5);
  EXPECT_EQ(door.In(ask)->length_max, 65);
  ask.max_tokens = 6;
  EXPECT_EQ(std::get<Ending>(door.Knock(ask)).field, "stop.max_tokens");
  ask.max_tokens.reset();
  EXPECT_EQ(door.In(ask)->length_max, 1024) << "what the context leaves, whatever memory there is";
  ask.prompt = PromptOf(65);
  EXPECT_EQ(std::get<Ending>(door.Knock(ask)).field, "prompt.token_ids");
}

TEST(Admission, QueuesAreBounded) {
  Door door;
  door.context_.waiting = 1024;
  EXPECT_EQ(std::get<Ending>(door.Knock(Good())).end, End::kOverloaded);
  door.context_.waiting = 1;
  door.context_.waiting_tokens = 8'000'000;
  EXPECT_EQ(std::get<Ending>(door.Knock(Good())).end, End::kOverloaded);
  door.context_.waiting = 0;
  EXPECT_NE(door.In(Good()), nullptr) << "an empty queue takes any that fits";
}

TEST(Admission, WhoMayTakeALiveRequestOverNeedsNoRoom) {
  Door door;
  door.context_.waiting = 1024;
  door.context_.live = true;
  EXPECT_NE(door.In(Good()), nullptr);
}

TEST(Admission, LateIsLate) {
  Door door;
  ClientAsk ask = Good();
  ask.deadline = 5;
  EXPECT_EQ(std::get<Ending>(door.Knock(ask)).end, End::kDeadline);
}

TEST(Admission, WithoutATokenizerThereAreNoStopStrings) {
  Door door;
  door.context_.text = nullptr;
  ClientAsk ask = Good();
  EXPECT_NE(door.In(ask), nullptr);
  ask.stop = {"x"};
  EXPECT_EQ(std::get<Ending>(door.Knock(ask)).field, "stop.strings");
}

}  // namespace
}  // namespace conclave
