// One request in two spellings: flags and lines of JSON.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/flags.h"
#include "cli/generate_request.h"

namespace conclave {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

absl::StatusOr<std::string> NoFile(const std::string& path) {
  if (path == "ids.txt") return "[1, 2,\n 3]";
  return absl::NotFoundError("cannot read " + path);
}

absl::StatusOr<v1::GenerateRequest> Read(const std::string& line) {
  return RequestFromLine(line, NoFile);
}

std::string ErrorOfLine(const std::string& line) {
  const auto request = Read(line);
  return request.ok() ? "" : std::string(request.status().message());
}

TEST(Request, TakesEveryKey) {
  const auto request = Read(R"({"id": "a", "text": "hi", "temperature": 0.5, "top_k": 3,
    "top_p": 0.9, "min_p": 0.1, "repetition_penalty": 1.1, "presence_penalty": -1,
    "frequency_penalty": 2, "logit_bias": [[5, -1.5]], "seed": 18446744073709551615,
    "max_tokens": 7, "min_tokens": 2, "stop": ["x", "y"], "stop_ids": [4], "ignore_eos": true,
    "include_stop_string": true, "logprobs": 2, "prompt_logprobs": 0, "routed_experts": true,
    "keep_special_tokens": true, "resume_after": 6})");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->request_id(), "a");
  EXPECT_EQ(request->resume_after(), 6);
  EXPECT_EQ(request->text(), "hi");
  EXPECT_EQ(request->sampling().temperature(), 0.5);
  EXPECT_EQ(request->sampling().top_k(), 3);
  EXPECT_EQ(request->sampling().top_p(), 0.9);
  EXPECT_EQ(request->sampling().min_p(), 0.1);
  EXPECT_EQ(request->sampling().repetition_penalty(), 1.1);
  EXPECT_EQ(request->sampling().presence_penalty(), -1);
  EXPECT_EQ(request->sampling().frequency_penalty(), 2);
  EXPECT_EQ(request->sampling().logit_bias(0).token_id(), 5);
  EXPECT_EQ(request->sampling().logit_bias(0).bias(), -1.5F);
  EXPECT_EQ(request->sampling().seed(), UINT64_MAX);
  EXPECT_EQ(request->stop().max_tokens(), 7);
  EXPECT_EQ(request->stop().min_tokens(), 2);
  EXPECT_THAT(request->stop().strings(), ElementsAre("x", "y"));
  EXPECT_THAT(request->stop().token_ids(), ElementsAre(4));
  EXPECT_TRUE(request->stop().ignore_eos());
  EXPECT_TRUE(request->stop().include_stop_string());
  EXPECT_EQ(request->output().logprobs(), 2);
  EXPECT_TRUE(request->output().has_prompt_logprobs());
  EXPECT_TRUE(request->output().routed_experts());
  EXPECT_TRUE(request->output().keep_special_tokens());
}

TEST(Request, UnsetMeansUnset) {
  const auto request = Read(R"({"text": "hi"})");
  ASSERT_TRUE(request.ok());
  EXPECT_FALSE(request->sampling().has_temperature());
  EXPECT_FALSE(request->stop().has_max_tokens());
  EXPECT_FALSE(request->output().has_logprobs());
}

TEST(Request, PromptIdsInThreeSpellings) {
  for (const char* line : {R"({"prompt_ids": [1, 2, 3]})", R"({"prompt_ids": "1,2, 3"})",
                           R"({"prompt_ids": "@ids.txt"})"}) {
    const auto request = Read(line);
    ASSERT_TRUE(request.ok()) << line << request.status();
    EXPECT_THAT(request->token_ids().ids(), ElementsAre(1, 2, 3)) << line;
  }
  EXPECT_THAT(ErrorOfLine(R"({"prompt_ids": "1,x"})"), HasSubstr("prompt_ids: 'x'"));
  EXPECT_THAT(ErrorOfLine(R"({"prompt_ids": "@gone"})"), HasSubstr("gone"));
}

TEST(Request, ChatWrapsTextOrTakesMessages) {
  const auto wrapped = Read(R"({"text": "hi", "chat": true, "enable_thinking": false})");
  ASSERT_TRUE(wrapped.ok());
  EXPECT_EQ(nlohmann::json::parse(wrapped->chat().messages_json()),
            nlohmann::json::parse(R"([{"role": "user", "content": "hi"}])"));
  EXPECT_TRUE(wrapped->chat().has_enable_thinking());
  const auto messages = Read(R"({"chat": [{"role": "system", "content": "x"}], "tools": []})");
  ASSERT_TRUE(messages.ok());
  EXPECT_THAT(messages->chat().messages_json(), HasSubstr("system"));
  EXPECT_EQ(messages->chat().tools_json(), "[]");
}

TEST(Request, RefusesByName) {
  EXPECT_THAT(ErrorOfLine(R"({"text": "a", "top_kk": 1})"), HasSubstr("top_kk"));
  EXPECT_THAT(ErrorOfLine(R"({"text": "a", "max_tokens": 5000000000})"), HasSubstr("max_tokens"));
  EXPECT_THAT(ErrorOfLine(R"({"text": "a", "max_tokens": 1.5})"), HasSubstr("max_tokens"));
  EXPECT_THAT(ErrorOfLine(R"({"text": "a", "seed": -1})"), HasSubstr("seed"));
  EXPECT_THAT(ErrorOfLine(R"({"text": "a", "stop": [1]})"), HasSubstr("stop"));
  EXPECT_THAT(ErrorOfLine(R"({"text": "a", "prompt_ids": [1]})"), HasSubstr("exclude"));
  EXPECT_THAT(ErrorOfLine(R"({"temperature": 1})"), HasSubstr("prompt"));
  EXPECT_THAT(ErrorOfLine(R"({"text": "a", "tools": []})"), HasSubstr("tools"));
  EXPECT_THAT(ErrorOfLine("[1]"), HasSubstr("object"));
  EXPECT_THAT(ErrorOfLine("{"), HasSubstr("JSON"));
  EXPECT_THAT(ErrorOfLine(""), HasSubstr("JSON"));
}

// Each flag lands under the key of its name: what the parser would refuse, flags cannot produce.
TEST(Request, FlagsAreKeys) {
  CLI::App app("", "test");
  nlohmann::json object = nlohmann::json::object();
  AddRequestFlags(app, object);
  object["text"] = "hi";
  const std::vector<const char*> arguments = {
      "test",   "--temperature", "0.5",          "--top-k",    "3",
      "--stop", "a b",           "--stop",       "c",          "--stop-ids",
      "4,5",    "--ignore-eos",  "--max-tokens", "9",          "--seed",
      "8",      "--logit-bias",  "7=-1.5",       "--logprobs", "2"};
  ASSERT_EQ(ParseFlags(app, static_cast<int>(arguments.size()), arguments.data()), std::nullopt);
  const auto request = RequestFromJson(object, NoFile);
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->sampling().temperature(), 0.5);
  EXPECT_EQ(request->sampling().top_k(), 3);
  EXPECT_EQ(request->sampling().seed(), 8U);
  EXPECT_EQ(request->sampling().logit_bias(0).bias(), -1.5F);
  EXPECT_THAT(request->stop().strings(), ElementsAre("a b", "c"));
  EXPECT_THAT(request->stop().token_ids(), ElementsAre(4, 5));
  EXPECT_TRUE(request->stop().ignore_eos());
  EXPECT_EQ(request->stop().max_tokens(), 9);
  EXPECT_EQ(request->output().logprobs(), 2);
}

}  // namespace
}  // namespace conclave
