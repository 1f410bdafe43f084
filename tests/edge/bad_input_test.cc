// What clients get wrong, and what they are told: a code, a field, and nobody else hurt.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <thread>
#include <vector>

#include "rig.h"

namespace conclave {
namespace {

struct BadRequestCase {
  const char* name;
  const char* field;
  void (*spoil)(v1::GenerateRequest& request);
};

// More tokens than the context has, whatever the tokenizer joins.
std::string LongText() {
  std::string text;
  for (int i = 0; i < 9000; ++i) text += " fox 7";
  return text;
}

const BadRequestCase kBadRequests[] = {
    {"no prompt", "prompt", [](auto& r) { r.clear_prompt(); }},
    {"empty prompt", "token_ids", [](auto& r) { r.mutable_token_ids(); }},
    {"unknown id", "token_ids", [](auto& r) { r.mutable_token_ids()->add_ids(1 << 20); }},
    {"negative id", "token_ids", [](auto& r) { r.mutable_token_ids()->add_ids(-1); }},
    {"over-long prompt", "token_ids",
     [](auto& r) { r.mutable_token_ids()->mutable_ids()->Resize(9000, 5); }},
    {"empty text", "text", [](auto& r) { r.set_text(""); }},
    {"over-long text", "text", [](auto& r) { r.set_text(LongText()); }},
    {"over-long chat", "chat",
     [](auto& r) {
       r.mutable_chat()->set_messages_json(R"([{"role": "user", "content": ")" + LongText() +
                                           R"("}])");
     }},
    {"nan", "sampling.temperature",
     [](auto& r) {
       r.mutable_sampling()->set_temperature(std::numeric_limits<double>::quiet_NaN());
     }},
    {"negative", "sampling.temperature",
     [](auto& r) { r.mutable_sampling()->set_temperature(-1); }},
    {"top_p zero", "sampling.top_p", [](auto& r) { r.mutable_sampling()->set_top_p(0); }},
    {"top_k", "sampling.top_k", [](auto& r) { r.mutable_sampling()->set_top_k(1 << 20); }},
    {"logprobs", "output.logprobs", [](auto& r) { r.mutable_output()->set_logprobs(1000); }},
    {"max_tokens", "stop.max_tokens", [](auto& r) { r.mutable_stop()->set_max_tokens(0); }},
    {"resume before", "resume_after", [](auto& r) { r.set_resume_after(-1); }},
    {"resume beyond", "resume_after", [](auto& r) { r.set_resume_after(1 << 30); }},
    {"long id", "request_id", [](auto& r) { r.set_request_id(std::string(200, 'x')); }},
    {"no messages", "chat.messages_json", [](auto& r) { r.mutable_chat(); }},
    {"messages are no json", "chat", [](auto& r) { r.mutable_chat()->set_messages_json("[{"); }},
    {"template error", "chat",
     [](auto& r) {
       r.mutable_chat()->set_messages_json(R"([{"role": "wizard", "content": "x"}])");
     }},
    {"variables", "chat.template_variables_json",
     [](auto& r) {
       r.mutable_chat()->set_messages_json(R"([{"role": "user", "content": "x"}])");
       r.mutable_chat()->set_template_variables_json("[1]");
     }},
};

TEST(BadInput, IsRefusedByFieldAndTheNextRequestIsServed) {
  Rig rig;
  const Answer before = Generate(rig.client(), Greedy("The fox", 8));
  for (const BadRequestCase& one : kBadRequests) {
    v1::GenerateRequest request = Greedy("The fox", 8);
    one.spoil(request);
    const Answer answer = Generate(rig.client(), request);
    EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT)
        << one.name << ": " << answer.status.error_message();
    EXPECT_EQ(FactsOf(answer.status).field, one.field) << one.name;
    EXPECT_EQ(FactsOf(answer.status).domain, "conclave") << one.name;
    EXPECT_EQ(answer.messages, 0) << one.name;
  }
  const Answer after = Generate(rig.client(), Greedy("The fox", 8));
  EXPECT_TRUE(after.status.ok());
  EXPECT_EQ(after.ids, before.ids);
}

TEST(BadInput, MalformedUtf8NamesItsField) {
  Rig rig;
  const auto send = [&rig](const std::string& method, const std::string& bytes) {
    return CallRaw(rig.server().port(), method, bytes, nullptr);
  };
  const std::string generate = "/conclave.v1.InferenceService/Generate";
  const grpc::Status text = send(generate, std::string("\x12\x03 \xC3(", 5));
  EXPECT_EQ(text.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << text.error_message();
  EXPECT_EQ(FactsOf(text).field, "text");
  const grpc::Status nested = send(generate, std::string("\x22\x03\x0A\x01\xFF", 5));
  EXPECT_EQ(FactsOf(nested).field, "chat.messages_json") << nested.error_message();
  const grpc::Status noise = send(generate, "\xFF\xFF\xFF");
  EXPECT_EQ(noise.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << noise.error_message();
  const grpc::Status tokenize =
      send("/conclave.v1.InferenceService/Tokenize", std::string("\x0A\x01\xFF", 3));
  EXPECT_EQ(FactsOf(tokenize).field, "text") << tokenize.error_message();
}

TEST(BadInput, AHundredMegabytesAreTooMuch) {
  Rig rig;
  v1::GenerateRequest request = Greedy("", 1);
  request.set_text(std::string(100 << 20, 'a'));
  const Answer answer = Generate(rig.client(), request);
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(Generate(rig.client(), Greedy("The fox", 2)).status.ok());
}

TEST(BadInput, TooManyAtOnceAreTurnedAwayAndTheRestServed) {
  RigOptions options;
  options.core.running_max = 2;
  options.core.waiting_max = 3;
  Rig rig(options);
  const Answer alone = Generate(rig.client(), Greedy("The fox", 40));
  constexpr int kClients = 32;
  std::vector<Answer> answers(kClients);
  std::vector<std::thread> threads;
  for (Answer& answer : answers) {
    threads.emplace_back([&] { answer = Generate(rig.client(), Greedy("The fox", 40)); });
  }
  for (std::thread& thread : threads) thread.join();
  int served = 0;
  for (const Answer& answer : answers) {
    if (answer.status.ok()) {
      ++served;
      EXPECT_EQ(answer.ids, alone.ids);
    } else {
      EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
      EXPECT_TRUE(FactsOf(answer.status).retry);
    }
  }
  EXPECT_GE(served, 1);
  EXPECT_LT(served, kClients) << "nobody was turned away";
}

TEST(RudeClients, OneThatVanishesFreesItsPlace) {
  Rig rig;
  {
    grpc::ClientContext context;
    const auto reader = rig.client().Generate(&context, Greedy("The fox", 8000));
    v1::GenerateResponse response;
    ASSERT_TRUE(reader->Read(&response));
    context.TryCancel();
    while (reader->Read(&response)) {
    }
    EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  EXPECT_TRUE(rig.AwaitLoad(
      [](const auto& load) { return load.requests_running() == 0 && load.kv_utilisation() == 0; }));
}

TEST(RudeClients, OneThatDoesNotReadCostsNobodyElseAnything) {
  Rig rig;
  v1::GenerateRequest request = Greedy("The fox", 3000);
  request.mutable_output()->set_logprobs(32);  // some 400 bytes a token: more than windows hold
  grpc::ClientContext context;
  grpc::ChannelArguments args;  // windows as HTTP/2 has them at first, and no growing
  args.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  args.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 65535);
  const auto stub = v1::InferenceService::NewStub(
      grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(rig.server().port()),
                                grpc::InsecureChannelCredentials(), args));
  const auto slow = stub->Generate(&context, request);
  // Its request runs to the end although nobody reads, and others come through.
  EXPECT_TRUE(Generate(rig.client(), Greedy("The bear", 16)).status.ok());
  EXPECT_TRUE(rig.AwaitLoad([](const auto& load) { return load.requests_running() == 0; }));
  Answer late;
  v1::GenerateResponse response;
  while (slow->Read(&response)) Gather(response, late);
  EXPECT_TRUE(slow->Finish().ok());
  EXPECT_EQ(late.ids.size(), 3000u);
  EXPECT_LT(late.messages, 2500) << "what waited was not joined";
  const Answer prompt_reader = Generate(rig.client(), request);
  EXPECT_EQ(prompt_reader.ids, late.ids);
  EXPECT_EQ(prompt_reader.logprobs, late.logprobs);
}

}  // namespace
}  // namespace conclave
