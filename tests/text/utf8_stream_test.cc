#include "text/utf8_stream.h"

#include <gtest/gtest.h>

namespace conclave {
namespace {

constexpr char kBad[] = "\xEF\xBF\xBD";

// All at once and byte by byte must agree.
std::string Stream(const std::string& bytes) {
  Utf8Stream whole;
  std::string text = whole.Push(bytes);
  text += whole.Flush();
  Utf8Stream single;
  std::string pieces;
  for (const char c : bytes) pieces += single.Push(std::string(1, c));
  pieces += single.Flush();
  EXPECT_EQ(text, pieces);
  return text;
}

TEST(Utf8Stream, PassesCharacters) {
  const std::string text = "aé€😀\xED\x9F\xBF\xEE\x80\x80\xF4\x8F\xBF\xBF\x7F\xC2\x80";
  EXPECT_EQ(Stream(text), text);
}

// The examples of the Unicode standard, chapter 3, "U+FFFD substitution of maximal subparts".
TEST(Utf8Stream, ReplacesMaximalSubparts) {
  const std::string b = kBad;
  EXPECT_EQ(Stream("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"), b + b + b + b + b + b + b + b + "A");
  EXPECT_EQ(Stream("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41"), b + b + b + b + b + b + b + b + "A");
  EXPECT_EQ(Stream("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"), b + b + b + b + b + "A" + b + b + "B");
  EXPECT_EQ(Stream("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), b + b + b + b + "A");
}

TEST(Utf8Stream, HoldsBackOnlyWhatMayStillChange) {
  Utf8Stream stream;
  EXPECT_EQ(stream.Push("a\xE2\x82"), "a");
  EXPECT_EQ(stream.Push("\xAC"), "€");
  EXPECT_EQ(stream.Push("\xF0\x9F"), "");
  EXPECT_EQ(stream.Push("b"), std::string(kBad) + "b");
  EXPECT_EQ(stream.Push("\xC3"), "");
  EXPECT_EQ(stream.Flush(), kBad);
  EXPECT_EQ(stream.Flush(), "");
}

}  // namespace
}  // namespace conclave
