// Encoding and decoding against vectors made with Hugging Face tokenizers on the same
// tokenizer.json.
#include <gtest/gtest.h>

#include "text_data.h"

namespace conclave {
namespace {

class TokenizerGolden : public testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(Models, TokenizerGolden,
                         testing::Values("qwen3", "qwen2_5", "deepseek_v3"),
                         [](const auto& param) { return param.param; });

TEST_P(TokenizerGolden, EncodesAndDecodesEveryVector) {
  const Text& text = LoadedText(GetParam());
  const auto vectors = ReadJsonLines("tokenizers/" + GetParam() + "/golden_vectors.jsonl");
  ASSERT_EQ(vectors.size(), 118u);
  for (const auto& vector : vectors) {
    const std::string input = vector["text"];
    SCOPED_TRACE(input.substr(0, 80));
    const auto ids = text.Encode(input, /*parse_special=*/true, /*add_special_tokens=*/false);
    ASSERT_TRUE(ids.ok()) << ids.status();
    EXPECT_EQ(*ids, vector["ids"].get<std::vector<TokenId>>());
    EXPECT_EQ(text.Decode(*ids, /*skip_special=*/false).value(), vector["decoded"]);
    EXPECT_EQ(text.Decode(*ids, /*skip_special=*/true).value(), vector["decoded_skip_special"]);
  }
}

TEST_P(TokenizerGolden, PlainTextKnowsNoAddedTokens) {
  const Text& text = LoadedText(GetParam());
  for (const auto& vector : ReadJsonLines("tokenizers/" + GetParam() + "/golden_vectors.jsonl")) {
    const std::string input = vector["text"];
    SCOPED_TRACE(input.substr(0, 80));
    const std::vector<TokenId> ids = text.Encode(input, false, false).value();
    // Nothing in it is special, so skipping special tokens skips nothing.
    EXPECT_EQ(text.Decode(ids, true).value(), text.Decode(ids, false).value());
    const std::vector<TokenId> parsed = vector["ids"];
    if (vector["decoded"] == vector["decoded_skip_special"] &&
        input.find("think>") == std::string::npos && input.find("tool_") == std::string::npos &&
        input.find("<|") == std::string::npos && input.find("<｜") == std::string::npos) {
      EXPECT_EQ(ids, parsed);
    }
  }
}

TEST(TokenizerGolden, SpecialTokensAsTextAndAsIds) {
  const Text& text = LoadedText("qwen3");
  EXPECT_EQ(text.Encode("<|im_end|>", true, false).value(), std::vector<TokenId>{151645});
  EXPECT_EQ(text.Encode("<think>", true, false).value(), std::vector<TokenId>{151667});
  for (const std::string token : {"<|im_end|>", "<think>"}) {
    const std::vector<TokenId> plain = text.Encode(token, false, false).value();
    EXPECT_GT(plain.size(), 1u) << token;
    EXPECT_EQ(text.Decode(plain, true).value(), token);
  }
  EXPECT_EQ(text.IdOf("<|im_end|>"), TokenId{151645});
  EXPECT_EQ(text.IdOf("no such token"), std::nullopt);
  EXPECT_EQ(text.vocab_size(), 151669);
}

TEST(TokenizerGolden, IdsBeyondTheVocabularyDecodeToNothing) {
  const Text& text = LoadedText("qwen3");
  const std::vector<TokenId> ids = {9707, 151669, 151935, -1, 2147483647, -2147483648, 1879};
  EXPECT_EQ(text.Decode(ids, false).value(), "Hello world");
}

TEST(TokenizerGolden, TalesRoundTrip) {
  const Text& text = LoadedText("tales-128e");
  EXPECT_EQ(text.vocab_size(), 4096);
  EXPECT_EQ(text.IdOf("<|im_end|>"), TokenId{4091});
  const std::string tale = "<|im_start|>user\nTell me of a fox — née Zoë.<|im_end|>\n<think>";
  const std::vector<TokenId> ids = text.Encode(tale, true, false).value();
  EXPECT_EQ(text.Decode(ids, false).value(), tale);
  EXPECT_EQ(ids.front(), 4090);
  EXPECT_EQ(ids.back(), 4094);
  EXPECT_EQ(text.Decode(ids, true).value(), "user\nTell me of a fox — née Zoë.\n<think>");
}

TEST(TokenizerGolden, MalformedUtf8NamesTheByte) {
  const Text& text = LoadedText("tales-128e");
  const std::pair<std::string, int> cases[] = {
      {"abc\xFF", 3}, {"\xC3", 0}, {"fox \xED\xA0\x80", 4}, {"é\xC0\x80", 2}, {"ab\xE2\x82", 2}};
  for (const auto& [input, at] : cases) {
    for (const bool special : {false, true}) {
      const absl::Status status = text.Encode(input, special, false).status();
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
      EXPECT_EQ(status.message(), "text: not UTF-8 at byte " + std::to_string(at));
    }
  }
}

}  // namespace
}  // namespace conclave
