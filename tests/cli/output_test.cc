// What came back, as JSON: every key, floats that read back to the same bits, errors with fields.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "cli/generate_output.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace conclave {
namespace {

using nlohmann::json;
using testing::HasSubstr;

v1::TokenLogprob Logprob(int id, float value) {
  v1::TokenLogprob entry;
  entry.set_token_id(id);
  entry.set_logprob(value);
  v1::TopLogprob& top = *entry.add_top();
  top.set_token_id(id);
  top.set_logprob(value);
  return entry;
}

Answer TwoParts() {
  Answer answer;
  v1::GenerateResponse part;
  part.set_request_id("r-1");
  part.add_token_ids(5);
  part.set_text("A");
  *part.add_logprobs() = Logprob(5, -0.1F);
  *part.add_prompt_logprobs() = Logprob(2, -3.5F);
  answer.Add(part);
  v1::GenerateResponse last;
  last.set_request_id("r-1");
  last.add_token_ids(6);
  last.set_text(" b");
  *last.add_logprobs() = Logprob(6, -2.0F);
  v1::Finished& finished = *last.mutable_finished();
  finished.set_reason(v1::FINISH_REASON_LENGTH);
  finished.mutable_usage()->set_prompt_tokens(2);
  finished.mutable_usage()->set_completion_tokens(2);
  finished.mutable_timing()->set_ttft_ms(12.5);
  finished.mutable_routed_experts()->set_layers(1);
  finished.mutable_routed_experts()->set_tokens(1);
  finished.mutable_routed_experts()->set_k(2);
  finished.mutable_routed_experts()->set_data(std::string("\x01\x00\x02\x00", 4));
  answer.Add(last);
  return answer;
}

TEST(Output, PutsPartsTogether) {
  const json object = json::parse(TwoParts().Json("", grpc::Status::OK));
  EXPECT_EQ(object["id"], "r-1");
  EXPECT_EQ(object["token_ids"], json({5, 6}));
  EXPECT_EQ(object["text"], "A b");
  EXPECT_EQ(object["finish_reason"], "length");
  EXPECT_EQ(object["logprobs"].size(), 2U);
  EXPECT_EQ(object["logprobs"][1]["token_id"], 6);
  EXPECT_EQ(object["logprobs"][1]["top"], json::parse("[[6, -2.0]]"));
  EXPECT_TRUE(object["prompt_logprobs"][0].is_null());
  EXPECT_EQ(object["prompt_logprobs"][1]["logprob"], -3.5);
  EXPECT_EQ(object["routed_experts"]["data"], "AQACAA==");
  EXPECT_EQ(object["usage"]["completion_tokens"], 2);
  EXPECT_EQ(object["timing"]["ttft_ms"], 12.5);
  EXPECT_FALSE(object.contains("error"));
  EXPECT_EQ(json::parse(TwoParts().Json("mine", grpc::Status::OK))["id"], "mine");
}

// One token has nothing before it: the list says so, it is not left out.
TEST(Output, PromptLogprobsOfAOneTokenPromptAreANull) {
  v1::OutputOptions asked;
  asked.set_prompt_logprobs(2);
  asked.set_logprobs(0);
  Answer answer(asked);
  v1::GenerateResponse last;
  last.mutable_finished()->set_reason(v1::FINISH_REASON_LENGTH);
  answer.Add(last);
  const json object = json::parse(answer.Json("x", grpc::Status::OK));
  EXPECT_EQ(object["prompt_logprobs"], json::parse("[null]"));
  EXPECT_EQ(object["logprobs"], json::array());
  // A request that failed before it began has said nothing of either.
  const json failed = json::parse(
      Answer(asked).Json("x", grpc::Status(grpc::StatusCode::UNAVAILABLE, "no worker")));
  EXPECT_FALSE(failed.contains("prompt_logprobs"));
}

TEST(Output, FloatsReadBackToTheSameBits) {
  std::uint32_t bits = 0x80000001;  // the smallest negative one
  for (int i = 0; i < 2000; ++i, bits = bits * 1664525U + 1013904223U) {
    const float value = std::bit_cast<float>(bits);
    if (!(value - value == 0)) continue;  // infinite or not a number
    Answer answer;
    v1::GenerateResponse part;
    *part.add_logprobs() = Logprob(1, value);
    answer.Add(part);
    const std::string text = answer.Json("x", grpc::Status::OK);
    const std::size_t at = text.find("\"logprob\":") + 10;
    EXPECT_EQ(std::bit_cast<std::uint32_t>(std::strtof(text.c_str() + at, nullptr)), bits) << text;
  }
}

TEST(Output, ErrorsNameTheField) {
  google::rpc::Status rich;
  google::rpc::BadRequest bad;
  auto& violation = *bad.add_field_violations();
  violation.set_field("sampling.top_p");
  violation.set_description("must be in (0, 1]");
  rich.add_details()->PackFrom(bad);
  const grpc::Status status(grpc::StatusCode::INVALID_ARGUMENT, "sampling.top_p: must be in (0, 1]",
                            rich.SerializeAsString());
  const json object = json::parse(Answer().Json("a", status));
  EXPECT_EQ(object["finish_reason"], "error");
  EXPECT_EQ(object["error"]["code"], "INVALID_ARGUMENT");
  EXPECT_EQ(object["error"]["field"], "sampling.top_p");
  EXPECT_EQ(object["error"]["message"], "must be in (0, 1]");
  EXPECT_EQ(ErrorLine(status), "sampling.top_p: must be in (0, 1]");
  const grpc::Status plain(grpc::StatusCode::RESOURCE_EXHAUSTED, "full");
  EXPECT_TRUE(json::parse(Answer().Json("a", plain))["error"]["field"].is_null());
  EXPECT_EQ(ErrorLine(plain), "RESOURCE_EXHAUSTED: full");
}

TEST(Output, StatsSayTokensPerSecond) {
  v1::GenerateResponse whole;
  v1::Finished& finished = *whole.mutable_finished();
  finished.mutable_usage()->set_completion_tokens(11);
  finished.mutable_timing()->set_ttft_ms(20);
  finished.mutable_timing()->set_total_ms(120);
  EXPECT_THAT(StatsLine(whole), HasSubstr("11 tokens at 100.0 per second; first after 20.0 ms"));
}

}  // namespace
}  // namespace conclave
