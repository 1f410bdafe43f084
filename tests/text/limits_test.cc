// Long inputs encode in bounded time; longer ones are refused.
#include "base/limits.h"

#include <gtest/gtest.h>

#include "text_data.h"

namespace conclave {
namespace {

std::string Repeat(const std::string& piece, std::size_t bytes) {
  std::string text;
  while (text.size() + piece.size() <= bytes) text += piece;
  return text;
}

class LongText : public testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(Pieces, LongText,
                         testing::Values("a", " ", "\n", "The fox said: 12, no. ", "é", "界",
                                         "<|im_end|>", " \t", "!", "e\xCC\x81\xCC\xA3", "<"));

TEST_P(LongText, EncodesAndComesBack) {
  const std::string input = Repeat(GetParam(), std::size_t{1} << 20);
  const Text& text = LoadedText("tales-128e");
  const absl::StatusOr<std::vector<TokenId>> ids = text.Encode(input, true, false);
  ASSERT_TRUE(ids.ok()) << ids.status();
  if (GetParam().find('\xCC') == std::string::npos) {  // those are composed on the way in
    EXPECT_EQ(text.Decode(*ids, false).value(), input);
  }
}

TEST(LongText, ARequestOfTheLargestSize) {
  const std::string input = Repeat("The fox said: 12, no. ", kRequestBytesMax);
  const Text& text = LoadedText("tales-128e");
  EXPECT_EQ(text.Decode(text.Encode(input, true, false).value(), false).value(), input);
}

TEST(LongText, BeyondTheBoundIsRefused) {
  const Text& text = LoadedText("tales-128e");
  const absl::Status status = text.Encode(std::string((16 << 20) + 1, 'a'), true, false).status();
  EXPECT_EQ(status, absl::InvalidArgumentError("text: 16777217 bytes, at most 16777216"));
}

}  // namespace
}  // namespace conclave
