// Protocol messages to core words and back: every field arrives, nothing is invented.
#include "coordinator/edge/translate.h"

#include <gtest/gtest.h>

#include "coordinator/edge/errors.h"
#include "coordinator/edge/utf8.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "text/toy_text.h"

namespace conclave {
namespace {

TEST(Translate, UnsetMeansUnset) {
  v1::GenerateRequest request;
  request.mutable_token_ids()->add_ids(7);
  ClientAsk ask;
  EXPECT_FALSE(Translate(request, nullptr, ask).has_value());
  EXPECT_EQ(ask.prompt, std::vector<TokenId>{7});
  EXPECT_FALSE(ask.temperature || ask.top_k || ask.top_p || ask.min_p || ask.repetition_penalty ||
               ask.presence_penalty || ask.frequency_penalty || ask.seed || ask.max_tokens ||
               ask.min_tokens || ask.logprobs || ask.prompt_logprobs);
  EXPECT_TRUE(ask.skip_special);
  EXPECT_FALSE(ask.ignore_eos || ask.include_stop_in_text || ask.routed_experts);
}

TEST(Translate, EveryFieldArrives) {
  v1::GenerateRequest request;
  request.set_request_id("id");
  request.set_text("ab");
  v1::SamplingOptions& sampling = *request.mutable_sampling();
  sampling.set_temperature(0);
  sampling.set_top_k(2);
  sampling.set_top_p(0.3);
  sampling.set_min_p(0.4);
  sampling.set_repetition_penalty(0.5);
  sampling.set_presence_penalty(0.6);
  sampling.set_frequency_penalty(0.7);
  sampling.set_seed(~std::uint64_t{0});
  v1::LogitBias& bias = *sampling.add_logit_bias();
  bias.set_token_id(3);
  bias.set_bias(-1.5f);
  v1::StopOptions& stop = *request.mutable_stop();
  stop.set_max_tokens(8);
  stop.set_min_tokens(9);
  stop.add_strings("x");
  stop.add_token_ids(10);
  stop.set_ignore_eos(true);
  stop.set_include_stop_string(true);
  v1::OutputOptions& output = *request.mutable_output();
  output.set_logprobs(0);
  output.set_prompt_logprobs(11);
  output.set_routed_experts(true);
  output.set_keep_special_tokens(true);
  request.set_resume_after(12);
  const auto text = MakeToyText();
  ClientAsk ask;
  ASSERT_FALSE(Translate(request, text.get(), ask).has_value());
  EXPECT_EQ(ask.id, "id");
  EXPECT_EQ(ask.prompt, *text->Encode("ab", true, true));
  EXPECT_EQ(ask.temperature, 0.0);
  EXPECT_EQ(ask.top_k, 2);
  EXPECT_EQ(ask.top_p, 0.3);
  EXPECT_EQ(ask.min_p, 0.4);
  EXPECT_EQ(ask.repetition_penalty, 0.5);
  EXPECT_EQ(ask.presence_penalty, 0.6);
  EXPECT_EQ(ask.frequency_penalty, 0.7);
  EXPECT_EQ(ask.seed, ~std::uint64_t{0});
  EXPECT_EQ(ask.logit_bias, (std::vector<std::pair<TokenId, float>>{{3, -1.5f}}));
  EXPECT_EQ(ask.max_tokens, 8);
  EXPECT_EQ(ask.min_tokens, 9);
  EXPECT_EQ(ask.stop, std::vector<std::string>{"x"});
  EXPECT_EQ(ask.stop_ids, std::vector<TokenId>{10});
  EXPECT_TRUE(ask.ignore_eos && ask.include_stop_in_text && ask.routed_experts);
  EXPECT_EQ(ask.logprobs, 0);
  EXPECT_EQ(ask.prompt_logprobs, 11);
  EXPECT_FALSE(ask.skip_special);
  EXPECT_EQ(ask.resume_after, 12);
}

TEST(Translate, TheSeedOfAnIdNeverChanges) {
  EXPECT_EQ(SeedOf("r-1"), 13363865645245574891u);
  EXPECT_EQ(SeedOf(""), 1724626487366166408u);
  EXPECT_NE(SeedOf("r-1"), SeedOf("r-2"));
}

TEST(Translate, ChatGoesThroughTheTemplate) {
  const auto text = MakeToyText();
  v1::GenerateRequest request;
  request.mutable_chat()->set_messages_json(R"([{"role": "user", "content": "hi"}])");
  ClientAsk ask;
  ASSERT_FALSE(Translate(request, text.get(), ask).has_value());
  std::string prompt;
  ASSERT_FALSE(RenderPrompt(request.chat(), *text, "chat", prompt).has_value());
  EXPECT_EQ(ask.prompt, *text->Encode(prompt, true, true));
  request.mutable_chat()->set_tools_json("[{}]");  // the toy's template refuses tools
  EXPECT_EQ(Translate(request, text.get(), ask)->field, "chat");
}

TEST(Translate, TextNeedsATokenizer) {
  v1::GenerateRequest request;
  request.set_text("hello");
  ClientAsk ask;
  const auto bad = Translate(request, nullptr, ask);
  ASSERT_TRUE(bad.has_value());
  EXPECT_EQ(bad->field, "text");
  EXPECT_EQ(StatusOf(*bad).error_code(), grpc::StatusCode::FAILED_PRECONDITION);
}

TEST(Translate, AnEndingTravelsWithItsNumbers) {
  StreamPart part;
  part.ids = {4};
  part.text = "t";
  part.logprobs = {{.id = 4, .logprob = -0.5f, .top = {{4, -0.5f}, {9, -2.0f}}}};
  part.routed = {1, 2, 3, 4, 5, 6, 7, 256};
  part.ending.emplace();
  part.ending->end = End::kStop;
  part.ending->stop = "s";
  part.ending->stop_id = 4;
  part.ending->usage = {.prompt_tokens = 2, .cached_prompt_tokens = 1, .completion_tokens = 3};
  part.ending->timing.total = 1500;
  ModelFacts facts;
  facts.moe_layers = 2;
  facts.topk = 2;
  const v1::GenerateResponse response = ToProto(part, "r", facts);
  EXPECT_EQ(response.request_id(), "r");
  EXPECT_EQ(response.logprobs(0).top(1).token_id(), 9);
  EXPECT_EQ(response.finished().reason(), v1::FINISH_REASON_STOP);
  EXPECT_EQ(response.finished().stop_string(), "s");
  EXPECT_EQ(response.finished().stop_token_id(), 4);
  EXPECT_EQ(response.finished().usage().cached_prompt_tokens(), 1);
  EXPECT_EQ(response.finished().timing().total_ms(), 1.5);
  EXPECT_EQ(response.finished().routed_experts().tokens(), 2);
  EXPECT_EQ(response.finished().routed_experts().data(),
            std::string("\1\0\2\0\3\0\4\0\5\0\6\0\7\0\0\1", 16));
}

TEST(Errors, EveryEndingHasItsCode) {
  const std::pair<End, grpc::StatusCode> table[] = {
      {End::kStop, grpc::StatusCode::OK},
      {End::kLength, grpc::StatusCode::OK},
      {End::kCancelled, grpc::StatusCode::OK},
      {End::kDeadline, grpc::StatusCode::DEADLINE_EXCEEDED},
      {End::kRefused, grpc::StatusCode::INVALID_ARGUMENT},
      {End::kOverloaded, grpc::StatusCode::RESOURCE_EXHAUSTED},
      {End::kUnavailable, grpc::StatusCode::UNAVAILABLE},
      {End::kReplaced, grpc::StatusCode::ABORTED},
      {End::kOutgrown, grpc::StatusCode::RESOURCE_EXHAUSTED},
      {End::kInternal, grpc::StatusCode::INTERNAL}};
  for (const auto& [end, code] : table) {
    Ending ending;
    ending.end = end;
    EXPECT_EQ(StatusOf(ending).error_code(), code);
  }
}

TEST(Errors, WhoMayTryAgainIsTold) {
  for (int end = 0; end <= static_cast<int>(End::kInternal); ++end) {
    Ending ending;
    ending.end = static_cast<End>(end);
    const grpc::Status status = StatusOf(ending);
    if (status.ok()) continue;
    google::rpc::Status rich;
    ASSERT_TRUE(rich.ParseFromString(status.error_details()));
    google::rpc::ErrorInfo info;
    ASSERT_TRUE(rich.details(0).UnpackTo(&info));
    EXPECT_EQ(info.domain(), "conclave");
    EXPECT_FALSE(info.reason().empty());
    const bool retry = ending.end == End::kUnavailable || ending.end == End::kOverloaded;
    google::rpc::RetryInfo when;
    EXPECT_EQ(rich.details_size(), retry ? 2 : 1);
    if (!retry) continue;
    ASSERT_TRUE(rich.details(1).UnpackTo(&when));
    EXPECT_GT(when.retry_delay().seconds(), 0);
  }
}

TEST(Errors, TheFieldIsInTheDetails) {
  Ending ending;
  ending.end = End::kRefused;
  ending.field = "sampling.top_p";
  ending.message = "too much";
  google::rpc::Status rich;
  ASSERT_TRUE(rich.ParseFromString(StatusOf(ending).error_details()));
  EXPECT_EQ(rich.code(), 3);
  google::rpc::BadRequest bad;
  ASSERT_EQ(rich.details_size(), 2);
  ASSERT_TRUE(rich.details(1).UnpackTo(&bad));
  EXPECT_EQ(bad.field_violations(0).field(), "sampling.top_p");
  EXPECT_EQ(bad.field_violations(0).description(), "too much");
}

TEST(Errors, APromptIsCalledAsTheClientCalledIt) {
  using Request = v1::GenerateRequest;
  EXPECT_EQ(ClientField("prompt.token_ids", Request::kText), "text");
  EXPECT_EQ(ClientField("prompt.token_ids", Request::kChat), "chat");
  EXPECT_EQ(ClientField("prompt.token_ids", Request::kTokenIds), "token_ids");
  EXPECT_EQ(ClientField("prompt.token_ids", Request::PROMPT_NOT_SET), "prompt");
  EXPECT_EQ(ClientField("stop.max_tokens", Request::kText), "stop.max_tokens");
}

TEST(Utf8, KnowsItsEdges) {
  for (const char* good : {"", "a", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF",
                           "\xEF\xBF\xBF", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"}) {
    EXPECT_TRUE(IsUtf8(good)) << good;
  }
  for (const char* bad :
       {"\x80", "\xC0\x80", "\xC1\xBF", "\xC2", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xE1\x80",
        "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xE1\x80\xC0", "a\xFF"}) {
    EXPECT_FALSE(IsUtf8(bad)) << bad;
  }
}

}  // namespace
}  // namespace conclave
