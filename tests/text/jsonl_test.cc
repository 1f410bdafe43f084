// The lines of `conclave tokenize` and `conclave render`.
#include "text/jsonl.h"

#include <gtest/gtest.h>

#include "text_data.h"

namespace conclave {
namespace {

using Json = nlohmann::ordered_json;

TEST(Jsonl, TokenizeGolden) {
  for (const std::string model : {"qwen3", "deepseek_v3"}) {
    for (const Json& vector : ReadJsonLines("tokenizers/" + model + "/golden_vectors.jsonl")) {
      const Json line = {{"text", vector["text"]}, {"special", true}};
      const Json expected = {{"ids", vector["ids"]},
                             {"decoded", vector["decoded"]},
                             {"decoded_without_special", vector["decoded_skip_special"]}};
      ASSERT_EQ(TokenizeLine(LoadedText(model), line.dump()), expected.dump());
    }
  }
}

TEST(Jsonl, RenderGolden) {
  for (const Json& vector : ReadJsonLines("chat_templates/golden_chat_vectors.jsonl")) {
    const std::string source = ReadFile(CONCLAVE_SOURCE_DIR "/tests/data/chat_templates/" +
                                        vector["template"].get<std::string>() + ".jinja");
    Json line = vector["kwargs"];
    line["special_tokens"] = vector["special"];
    const Json result = Json::parse(RenderLine(std::string_view(source), line.dump()));
    if (vector["error"].is_null()) {
      ASSERT_EQ(result, Json({{"prompt", vector["expected"]}})) << vector["case"];
    } else {
      ASSERT_TRUE(result.contains("error")) << vector["case"];
    }
  }
}

TEST(Jsonl, PlainText) {
  const Text& text = LoadedText("tales-128e");
  EXPECT_EQ(TokenizeLine(text, R"({"text": "<think>"})"),
            R"({"ids":[4094],"decoded":"<think>","decoded_without_special":"<think>"})");
  const Json plain = Json::parse(TokenizeLine(text, R"({"text": "<think>", "special": false})"));
  EXPECT_GT(plain["ids"].size(), 1u);
}

TEST(Jsonl, ModelTemplate) {
  const Text& text = LoadedText("tales-128e");
  EXPECT_EQ(RenderLine(text, R"({"messages": [{"role": "user", "content": "é"}]})"),
            R"({"prompt":"<|im_start|>user\né<|im_end|>\n<|im_start|>assistant\n"})");
  EXPECT_EQ(RenderLine(text, R"({"messages": [], "tools": [1], "add_generation_prompt": false})"),
            R"({"error":"this small model knows no tools"})");
  const std::string line = R"({"messages": [], "special_tokens": {"bos_token": "B"}})";
  EXPECT_EQ(RenderLine(LoadedText("deepseek_v3"), line).rfind(R"({"prompt":"B)", 0), 0u);
}

TEST(Jsonl, BadLines) {
  const Text& text = LoadedText("tales-128e");
  const std::pair<std::string, std::string> tokenize[] = {
      {"{}", "text: missing"},
      {"[]", "a line must be a JSON object"},
      {R"({"text": 3})", "text: not a string"},
      {R"({"text": "", "special": 1})", "special: not a bool"},
      {R"({"text": "", "specials": true})", "unknown key: specials"}};
  for (const auto& [line, error] : tokenize) {
    EXPECT_EQ(TokenizeLine(text, line), Json({{"error", error}}).dump());
  }
  const std::pair<std::string, std::string> render[] = {
      {"{}", "messages: missing"},
      {R"({"messages": 1})", "messages must be an array"},
      {R"({"messages": [], "special_tokens": 3})", "special_tokens: not an object"},
      {R"({"messages": [], "add_generation_prompt": 3})", "add_generation_prompt: not a bool"}};
  for (const auto& [line, error] : render) {
    EXPECT_EQ(RenderLine(text, line), Json({{"error", error}}).dump());
  }
  for (const std::string line : {"", "{", "\xFF", "{\"text\": \"\xFF\"}"}) {
    EXPECT_TRUE(Json::parse(TokenizeLine(text, line)).contains("error"));
    EXPECT_TRUE(Json::parse(RenderLine(text, line)).contains("error"));
  }
}

}  // namespace
}  // namespace conclave
