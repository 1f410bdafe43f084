// Tokens all the way: client, gRPC, coordinator, control stream, worker, kernels, and back.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "rig.h"

namespace conclave {
namespace {

constexpr const char* kPrompt = "Once upon a time there was a king";

TEST(Serving, AStreamHasItsTokensAndEndsOnce) {
  Rig rig;
  v1::GenerateRequest request = Greedy(kPrompt, 20);
  request.mutable_output()->set_logprobs(2);
  const Answer answer = Generate(rig.client(), request);
  ASSERT_TRUE(answer.status.ok()) << answer.status.error_message() << rig.log().all();
  EXPECT_EQ(answer.ids.size(), 20u);
  EXPECT_EQ(answer.logprobs.size(), 20u);
  EXPECT_FALSE(answer.text.empty());
  EXPECT_EQ(answer.finished_messages, 1);
  EXPECT_EQ(answer.finished.reason(), v1::FINISH_REASON_LENGTH);
  EXPECT_EQ(answer.finished.usage().completion_tokens(), 20);
  EXPECT_GT(answer.finished.usage().prompt_tokens(), 0);
  EXPECT_GT(answer.finished.timing().total_ms(), 0);
}

TEST(Serving, SameBitsOverSocketsInProcessAndOnMoreWorkers) {
  v1::GenerateRequest request = Greedy(kPrompt, 24);
  request.mutable_output()->set_logprobs(0);
  const auto ask = [&request](RigOptions options) {
    Rig rig(options);
    return Generate(rig.client(), request);
  };
  const Answer one = ask({.sockets = true});
  const Answer inside = ask({.sockets = false});
  const Answer three = ask({.workers = 2, .experts_only = 1});
  ASSERT_TRUE(one.status.ok()) << one.status.error_message();
  EXPECT_EQ(one.ids.size(), 24u);
  for (const Answer* other : {&inside, &three}) {
    ASSERT_TRUE(other->status.ok()) << other->status.error_message();
    EXPECT_EQ(other->ids, one.ids);
    EXPECT_EQ(other->logprobs, one.logprobs);  // bit for bit
    EXPECT_EQ(other->text, one.text);
  }
}

TEST(Serving, AbortEndsTheStreamWithAReason) {
  Rig rig;
  v1::GenerateRequest request = Greedy(kPrompt, 8000);
  request.set_request_id("mine");
  grpc::ClientContext context;
  const auto reader = rig.client().Generate(&context, request);
  v1::GenerateResponse response;
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(response.request_id(), "mine");

  const auto abort = [&rig](const std::string& id) {
    grpc::ClientContext abort_context;
    v1::AbortRequest ask;
    ask.set_request_id(id);
    v1::AbortResponse answer;
    EXPECT_TRUE(rig.client().Abort(&abort_context, ask, &answer).ok());
    return answer.found();
  };
  EXPECT_FALSE(abort("nobody"));
  EXPECT_TRUE(abort("mine"));
  Answer answer;
  while (reader->Read(&response)) Gather(response, answer);
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(answer.finished.reason(), v1::FINISH_REASON_CANCELLED);
  EXPECT_TRUE(rig.AwaitLoad([](const auto& load) { return load.kv_utilisation() == 0; }));
}

TEST(Serving, ADeadlineEndsTheRequestOnBothSides) {
  Rig rig;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(300));
  const auto reader = rig.client().Generate(&context, Greedy(kPrompt, 8000));
  v1::GenerateResponse response;
  while (reader->Read(&response)) {
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(rig.AwaitLoad([](const auto& load) { return load.requests_running() == 0; }));
}

TEST(Serving, TextAndFactsCanBeAsked) {
  Rig rig;
  const std::string text = "The wolf said: \xC3\xA9t\xC3\xA9!";
  v1::TokenizeRequest tokenize;
  tokenize.set_text(text);
  v1::TokenizeResponse tokens;
  grpc::ClientContext first, second, third, fourth;
  ASSERT_TRUE(rig.client().Tokenize(&first, tokenize, &tokens).ok());
  v1::DetokenizeRequest detokenize;
  *detokenize.mutable_token_ids() = tokens.token_ids();
  v1::DetokenizeResponse back;
  ASSERT_TRUE(rig.client().Detokenize(&second, detokenize, &back).ok());
  EXPECT_EQ(back.text(), text);

  v1::GetModelInfoResponse model;
  ASSERT_TRUE(rig.client().GetModelInfo(&third, {}, &model).ok());
  EXPECT_EQ(model.experts(), 128);
  EXPECT_TRUE(model.has_tokenizer());
  EXPECT_TRUE(model.has_chat_template());
  v1::GetServerInfoResponse server;
  ASSERT_TRUE(rig.client().GetServerInfo(&fourth, {}, &server).ok());
  EXPECT_EQ(server.kv_dtype(), "bf16");
  EXPECT_EQ(server.version(), "1.2.3");
  EXPECT_EQ(server.workers(), 1);
  EXPECT_TRUE(server.ready());
  EXPECT_EQ(server.exchange(), "local");
}

TEST(Serving, WithoutWorkersARequestIsUnavailable) {
  RigOptions options;
  options.workers = 0;
  options.core.unavailable_limit = 50'000;
  Rig rig(options);
  const Answer answer = Generate(rig.client(), Greedy(kPrompt, 4));
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(FactsOf(answer.status).retry);
  EXPECT_EQ(FactsOf(answer.status).domain, "conclave");
}

TEST(Serving, ShutdownEndsWhatRunsWithUnavailable) {
  Rig rig;
  grpc::ClientContext context;
  const auto reader = rig.client().Generate(&context, Greedy(kPrompt, 8000));
  v1::GenerateResponse response;
  ASSERT_TRUE(reader->Read(&response));
  std::thread stop([&rig] { rig.server().Shutdown({}); });
  while (reader->Read(&response)) {
  }
  const grpc::Status status = reader->Finish();
  stop.join();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
  EXPECT_TRUE(FactsOf(status).retry) << "to be resumed elsewhere, or later";
  EXPECT_EQ(FactsOf(status).domain, "conclave");
  EXPECT_FALSE(rig.server().ready());
}

TEST(Serving, DrainingLetsWhatRunsFinishAndTurnsNewOnesAway) {
  Rig rig;
  grpc::ClientContext context;
  const auto reader = rig.client().Generate(&context, Greedy(kPrompt, 600));
  v1::GenerateResponse response;
  ASSERT_TRUE(reader->Read(&response));
  std::thread stop([&rig] { rig.server().Shutdown({.grace = 0, .drain = 60'000'000}); });
  Answer answer;
  Gather(response, answer);
  while (reader->Read(&response)) Gather(response, answer);
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(answer.ids.size(), 600u);
  stop.join();
  EXPECT_EQ(Generate(rig.client(), Greedy(kPrompt, 1)).status.error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

TEST(Serving, AWorkerThatLeavesIsDrained) {
  Rig rig({.workers = 2});
  rig.worker(1).Leave();
  const auto exit = rig.worker(1).WaitForExit(60'000'000);
  ASSERT_TRUE(exit.has_value()) << rig.log().all();
  EXPECT_FALSE(exit->failed) << exit->reason;
  EXPECT_TRUE(Generate(rig.client(), Greedy(kPrompt, 8)).status.ok()) << rig.log().all();
}

}  // namespace
}  // namespace conclave
