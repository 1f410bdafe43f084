#include "text/toy_text.h"

#include <gtest/gtest.h>

#include <random>

namespace conclave {
namespace {

TEST(ToyText, EncodesPairsLettersAndBytes) {
  const auto toy = MakeToyText();
  EXPECT_EQ(toy->Encode("abc d", false, false).value(),
            (std::vector<TokenId>{kToyPairs + 1, 'c', ' ', 'd'}));
  EXPECT_EQ(toy->Encode("é", false, true).value(), (std::vector<TokenId>{kToyStart, 0xC3, 0xA9}));
  EXPECT_EQ(toy->Encode("<end>", true, false).value(), std::vector<TokenId>{kToyEnd});
  EXPECT_GT(toy->Encode("<end>", false, false)->size(), 1u);
  EXPECT_EQ(toy->Encode("é\xC3(", false, false).status(),
            absl::InvalidArgumentError("text: not UTF-8 at byte 2"));
  EXPECT_EQ(toy->Encode("a\xE2\x82", false, false).status(),
            absl::InvalidArgumentError("text: not UTF-8 at byte 1"));
}

TEST(ToyText, RoundTrips) {
  const auto toy = MakeToyText();
  const std::string text = "once upon a time 😀 né\n<start>x";
  for (const bool special : {false, true}) {
    EXPECT_EQ(toy->Decode(toy->Encode(text, special, false).value(), false).value(), text);
  }
  EXPECT_EQ(toy->Decode(toy->Encode(text, true, false).value(), true).value(),
            "once upon a time 😀 né\nx");
}

TEST(ToyText, StreamsAsItDecodes) {
  const auto toy = MakeToyText();
  std::mt19937 random(3);
  for (int round = 0; round < 500; ++round) {
    std::vector<TokenId> ids(static_cast<std::size_t>(round % 30));
    for (TokenId& id : ids) id = static_cast<TokenId>(random() % (kToyVocab + 20)) - 5;
    const auto decoder = toy->NewDecoder(true);
    std::string streamed;
    for (const TokenId id : ids) streamed += decoder->Push(id);
    streamed += decoder->Flush();
    EXPECT_EQ(streamed, toy->Decode(ids, true).value());
  }
}

TEST(ToyText, KnowsItsTokens) {
  const auto toy = MakeToyText();
  EXPECT_EQ(toy->vocab_size(), kToyVocab);
  EXPECT_EQ(toy->IdOf("<end>"), kToyEnd);
  EXPECT_EQ(toy->IdOf("zz"), kToyStart - 1);
  EXPECT_EQ(toy->IdOf("zzz"), std::nullopt);
  EXPECT_TRUE(toy->has_chat_template());
}

TEST(ToyText, RendersChats) {
  const auto toy = MakeToyText();
  ChatInput input = {.messages_json = R"([{"role": "user", "content": "hi"}])"};
  EXPECT_EQ(toy->RenderChat(input).value(), "<start>user\nhi<end>\n<start>assistant\n");
  input.add_generation_prompt = false;
  EXPECT_EQ(toy->RenderChat(input).value(), "<start>user\nhi<end>\n");
  input.tools_json = "[]";
  EXPECT_TRUE(absl::IsInvalidArgument(toy->RenderChat(input).status()));
  input.messages_json = "{";
  EXPECT_TRUE(absl::IsInvalidArgument(toy->RenderChat(input).status()));
}

}  // namespace
}  // namespace conclave
