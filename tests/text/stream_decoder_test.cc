// Streams say what Decode says, at once where nothing can change any more, and whole characters
// only.
#include <gtest/gtest.h>

#include <random>

#include "text_data.h"

namespace conclave {
namespace {

bool IsUtf8(const std::string& text) {
  using Json = nlohmann::json;
  return Json::accept(Json(text).dump(-1, ' ', false, Json::error_handler_t::ignore)) &&
         Json(text).dump(-1, ' ', false, Json::error_handler_t::ignore).size() ==
             Json(text).dump(-1, ' ', false, Json::error_handler_t::replace).size();
}

// Everything that the property says about one list of ids.
void ExpectStreams(const Text& text, const std::vector<TokenId>& ids) {
  for (const bool skip_special : {false, true}) {
    const auto decoder = text.NewDecoder(skip_special);
    std::string streamed;
    for (const TokenId id : ids) {
      const std::string piece = decoder->Push(id);
      ASSERT_TRUE(IsUtf8(piece));
      streamed += piece;
    }
    streamed += decoder->Flush();
    ASSERT_EQ(streamed, text.Decode(ids, skip_special).value());
  }
}

// What a prefix of the ids decodes to, less what a further id may change, is what was pushed so
// far.
void ExpectNothingHeldBack(const Text& text, const std::vector<TokenId>& ids) {
  const auto decoder = text.NewDecoder(false);
  std::string streamed;
  for (std::size_t n = 1; n <= ids.size(); ++n) {
    streamed += decoder->Push(ids[n - 1]);
    const std::string decoded = text.Decode(std::span(ids).first(n), false).value();
    // An unfinished character shows as one U+FFFD at the end, and only then may they differ.
    if (streamed != decoded) {
      ASSERT_EQ(streamed + "\xEF\xBF\xBD", decoded) << n;
    }
  }
}

class StreamDecoding : public testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(Models, StreamDecoding,
                         testing::Values("qwen3", "deepseek_v3", "tales-128e"),
                         [](const auto& param) { return param.param.substr(0, 5); });

TEST_P(StreamDecoding, GoldenTexts) {
  const Text& text = LoadedText(GetParam());
  for (const auto& vector : ReadJsonLines("tokenizers/qwen3/golden_vectors.jsonl")) {
    const std::vector<TokenId> ids =
        text.Encode(vector["text"].get<std::string>(), true, false).value();
    ExpectStreams(text, ids);
    if (ids.size() < 200) ExpectNothingHeldBack(text, ids);
  }
}

TEST_P(StreamDecoding, RandomIds) {
  const Text& text = LoadedText(GetParam());
  std::mt19937 random(7);
  // Beyond the vocabulary too, as rows of padding are.
  std::uniform_int_distribution<TokenId> any(-2, text.vocab_size() + 300);
  // Single bytes of unfinished characters come mostly from the first few hundred ids.
  std::uniform_int_distribution<TokenId> bytes(0, 260);
  for (int round = 0; round < 300; ++round) {
    std::vector<TokenId> ids(static_cast<std::size_t>(round % 60));
    for (TokenId& id : ids) id = random() % 2 == 0 ? any(random) : bytes(random);
    ExpectStreams(text, ids);
    ExpectNothingHeldBack(text, ids);
  }
}

TEST_P(StreamDecoding, AMillionTokensAreQuick) {
  const Text& text = LoadedText(GetParam());
  const auto decoder = text.NewDecoder(true);
  std::size_t bytes = 0;
  for (int i = 0; i < 1'000'000; ++i) bytes += decoder->Push(i % text.vocab_size()).size();
  EXPECT_GT(bytes, 1'000'000u);
}

TEST(StreamDecoding, HoldsAnUnfinishedCharacterOnly) {
  const Text& text = LoadedText("qwen3");
  const std::vector<TokenId> ids = text.Encode("①", false, false).value();  // two ids
  ASSERT_EQ(ids.size(), 2u);
  const auto decoder = text.NewDecoder(false);
  EXPECT_EQ(decoder->Push(ids[0]), "");
  EXPECT_EQ(decoder->Push(ids[1]), "①");
  EXPECT_EQ(decoder->Push(ids[0]), "");
  EXPECT_EQ(decoder->Push(9707), "\xEF\xBF\xBDHello");  // the character can no longer end
  EXPECT_EQ(decoder->Push(ids[0]), "");
  EXPECT_EQ(decoder->Flush(), "\xEF\xBF\xBD");
  EXPECT_EQ(decoder->Flush(), "");
}

TEST(StreamDecoding, OutlivesItsText) {
  auto text = LoadText(ModelDirOf("tales-128e")).value();
  const std::vector<TokenId> ids = text->Encode("a fox", false, false).value();
  const auto decoder = text->NewDecoder(false);
  text.reset();
  std::string streamed;
  for (const TokenId id : ids) streamed += decoder->Push(id);
  EXPECT_EQ(streamed, "a fox");
}

// SentencePiece with byte fallback, as Llama 2 has it.
std::string FallbackTokenizer() {
  nlohmann::ordered_json vocab;
  for (const std::string token : {"<unk>", "▁a", "▁", "b", "é"}) vocab[token] = vocab.size();
  for (const char* byte : {"<0xE2>", "<0x82>", "<0xAC>", "<0xFF>", "<0x41>"}) {
    vocab[byte] = vocab.size();
  }
  const std::string decoder =
      R"({"type": "Sequence", "decoders": [
           {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
           {"type": "ByteFallback"}, {"type": "Fuse"},
           {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})";
  nlohmann::ordered_json tokenizer = {{"version", "1.0"},
                                      {"added_tokens", nlohmann::json::array()},
                                      {"decoder", nlohmann::ordered_json::parse(decoder)},
                                      {"model",
                                       {{"type", "BPE"},
                                        {"byte_fallback", true},
                                        {"vocab", vocab},
                                        {"merges", nlohmann::json::array()}}}};
  return tokenizer.dump();
}

TEST(StreamDecoding, ByteFallback) {
  const TemporaryDir dir;
  WriteFile(dir.path() + "/tokenizer.json", FallbackTokenizer());
  const auto text = LoadText(dir.path());
  ASSERT_TRUE(text.ok()) << text.status();
  std::mt19937 random(11);
  for (int round = 0; round < 2000; ++round) {
    std::vector<TokenId> ids(static_cast<std::size_t>(round % 12));
    for (TokenId& id : ids) id = static_cast<TokenId>(random() % 11);
    ExpectStreams(**text, ids);
  }
  const auto decoder = (*text)->NewDecoder(false);
  EXPECT_EQ(decoder->Push(1), "a");  // the first blank goes
  EXPECT_EQ(decoder->Push(1), " a");
  EXPECT_EQ(decoder->Push(5), "");
  EXPECT_EQ(decoder->Push(6), "");
  EXPECT_EQ(decoder->Push(7), "");  // one more byte may still spoil the run
  EXPECT_EQ(decoder->Push(3), "€b");
}

}  // namespace
}  // namespace conclave
