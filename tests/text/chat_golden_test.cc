// Chat templates against prompts rendered in the environment that Hugging Face transformers uses.
#include <gtest/gtest.h>

#include "text_data.h"

namespace conclave {
namespace {

using Json = nlohmann::ordered_json;

absl::StatusOr<std::string> Render(const Json& vector) {
  const std::string source = ReadFile(CONCLAVE_SOURCE_DIR "/tests/data/chat_templates/" +
                                      vector["template"].get<std::string>() + ".jinja");
  Json kwargs = vector["kwargs"];
  ChatInput input;
  input.messages_json = kwargs["messages"].dump();
  input.tools_json = kwargs["tools"].dump();
  input.add_generation_prompt = kwargs["add_generation_prompt"];
  for (const char* key : {"messages", "tools", "add_generation_prompt"}) kwargs.erase(key);
  input.variables_json = kwargs.dump();
  return RenderTemplate(source, input, vector["special"].dump());
}

TEST(ChatGolden, EveryVector) {
  const std::vector<Json> vectors = ReadJsonLines("chat_templates/golden_chat_vectors.jsonl");
  ASSERT_EQ(vectors.size(), 201u);
  int errors = 0;
  for (const Json& vector : vectors) {
    SCOPED_TRACE(vector["template"].get<std::string>() + " " + vector["case"].get<std::string>());
    const absl::StatusOr<std::string> prompt = Render(vector);
    if (vector["error"].is_null()) {
      ASSERT_TRUE(prompt.ok()) << prompt.status();
      EXPECT_EQ(*prompt, vector["expected"].get<std::string>());
    } else {
      EXPECT_EQ(prompt.status().code(), absl::StatusCode::kInvalidArgument)
          << prompt.value_or("") << "\n"
          << vector["error"];
      ++errors;
    }
  }
  EXPECT_EQ(errors, 9);
}

TEST(ChatGolden, ErrorsSayWhatPythonSays) {
  for (const Json& vector : ReadJsonLines("chat_templates/golden_chat_vectors.jsonl")) {
    if (vector["error"] != "TypeError: can only concatenate str (not \"dict\") to str") continue;
    const std::string message(Render(vector).status().message());
    EXPECT_NE(message.find("can only concatenate str (not \"dict\") to str"), std::string::npos)
        << message;
  }
}

TEST(ChatGolden, ModelDirectories) {
  ChatInput input;
  input.messages_json = R"([{"role": "user", "content": "Hi"}])";
  EXPECT_EQ(LoadedText("tales-128e").RenderChat(input).value(),
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  input.variables_json = R"({"enable_thinking": false})";
  EXPECT_EQ(LoadedText("qwen3").RenderChat(input).value(),
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n");
  // bos_token comes from an object in tokenizer_config.json.
  const std::string deepseek = LoadedText("deepseek_v3").RenderChat(input).value();
  EXPECT_EQ(deepseek.rfind("<｜begin▁of▁sentence｜><｜User｜>Hi", 0), 0u) << deepseek;
}

TEST(ChatGolden, RaisedMessagesAreKept) {
  ChatInput input;
  input.messages_json = R"([{"role": "bard", "content": "Hi"}])";
  const absl::Status role = LoadedText("tales-128e").RenderChat(input).status();
  EXPECT_EQ(role, absl::InvalidArgumentError("unknown role: bard"));
  input.tools_json = R"([{"type": "function"}])";
  const absl::Status tools = LoadedText("tales-128e").RenderChat(input).status();
  EXPECT_EQ(tools, absl::InvalidArgumentError("this small model knows no tools"));
}

}  // namespace
}  // namespace conclave
