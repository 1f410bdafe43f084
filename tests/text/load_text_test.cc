// Model directories: what is found where, and what is refused.
#include <gtest/gtest.h>

#include "text_data.h"

namespace conclave {
namespace {

const ChatInput kHello = {.messages_json = R"([{"role": "user", "content": "hi"}])"};

// A directory with the small tokenizer and what the test adds.
class LoadTextTest : public testing::Test {
 protected:
  void SetUp() override {
    Add("tokenizer.json", ReadFile(ModelDirOf("tales-128e") + "/tokenizer.json"));
  }
  void Add(const std::string& name, const std::string& text) {
    WriteFile(dir_.path() + "/" + name, text);
  }
  std::string Error() { return std::string(LoadText(dir_.path()).status().message()); }
  std::string Chat() {
    const auto text = LoadText(dir_.path());
    if (!text.ok()) return text.status().ToString();
    const auto prompt = (*text)->RenderChat(kHello);
    return prompt.ok() ? *prompt : prompt.status().ToString();
  }

  TemporaryDir dir_;
};

TEST(LoadText, MissingFiles) {
  const TemporaryDir empty;
  const absl::Status none = LoadText(empty.path()).status();
  EXPECT_EQ(none, absl::NotFoundError(empty.path() + "/tokenizer.json: no such file"));
  EXPECT_TRUE(absl::IsNotFound(LoadText(empty.path() + "/nowhere").status()));
}

TEST_F(LoadTextTest, WithoutTemplate) {
  const auto text = LoadText(dir_.path());
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_FALSE((*text)->has_chat_template());
  EXPECT_EQ((*text)->RenderChat(kHello).status(),
            absl::FailedPreconditionError("the model has no chat template"));
}

TEST_F(LoadTextTest, TemplateOfTheConfig) {
  Add("tokenizer_config.json",
      R"({"chat_template": "{{ bos_token }}|{{ eos_token }}|{{ pad_token }}|{{ unk_token }}",
          "bos_token": {"content": "<b>", "lstrip": false}, "eos_token": "<e>",
          "pad_token": null})");
  EXPECT_EQ(Chat(), "<b>|<e>||");
}

TEST_F(LoadTextTest, NamedTemplates) {
  Add("tokenizer_config.json", R"({"chat_template": [{"name": "tool_use", "template": "tools"},
                                                     {"name": "default", "template": "plain"}]})");
  EXPECT_EQ(Chat(), "plain");
  Add("tokenizer_config.json", R"({"chat_template": [{"name": "tool_use", "template": "tools"}]})");
  EXPECT_NE(Error().find("no template named \"default\""), std::string::npos) << Error();
}

TEST_F(LoadTextTest, TemplateFileGoesFirst) {
  Add("tokenizer_config.json", R"({"chat_template": "config", "eos_token": "<e>"})");
  Add("chat_template.jinja", "file{{ eos_token }}");
  EXPECT_EQ(Chat(), "file<e>");
}

TEST_F(LoadTextTest, BrokenFilesAreNamed) {
  Add("tokenizer_config.json", "[");
  EXPECT_EQ(Error(), dir_.path() + "/tokenizer_config.json: not a JSON object");
  Add("tokenizer_config.json", R"({"chat_template": 3})");
  EXPECT_EQ(Error(),
            dir_.path() + "/tokenizer_config.json: chat_template must be a string or a list");
  Add("tokenizer_config.json", R"({"chat_template": "{% for %}"})");
  EXPECT_EQ(LoadText(dir_.path()).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(Error().find("chat template"), std::string::npos) << Error();
  Add("tokenizer_config.json", "{}");
  for (const char* broken : {"", "{}", "{\"model\": 3", "\xFF\xFE"}) {
    Add("tokenizer.json", broken);
    const absl::Status status = LoadText(dir_.path()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << broken;
    EXPECT_EQ(Error().rfind(dir_.path() + "/tokenizer.json: ", 0), 0u) << Error();
  }
}

TEST_F(LoadTextTest, UnknownDecodersAreRefused) {
  auto tokenizer = nlohmann::ordered_json::parse(ReadFile(dir_.path() + "/tokenizer.json"));
  tokenizer["decoder"] = {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}};
  Add("tokenizer.json", tokenizer.dump());
  EXPECT_NE(Error().find("neither byte-level nor SentencePiece"), std::string::npos) << Error();
  tokenizer["decoder"] = nullptr;
  Add("tokenizer.json", tokenizer.dump());
  EXPECT_NE(Error().find("neither byte-level nor SentencePiece"), std::string::npos) << Error();
}

// Padding and truncation are settings of training batches.
TEST_F(LoadTextTest, NeverCutsOrPads) {
  auto tokenizer = nlohmann::ordered_json::parse(ReadFile(dir_.path() + "/tokenizer.json"));
  tokenizer["truncation"] = {
      {"direction", "Right"}, {"max_length", 4}, {"strategy", "LongestFirst"}, {"stride", 0}};
  Add("tokenizer.json", tokenizer.dump());
  const auto text = LoadText(dir_.path());
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_GT((*text)->Encode("one two three four five six seven", true, true)->size(), 4u);
}

}  // namespace
}  // namespace conclave
