#include "coordinator/stop_scanner.h"

#include <gtest/gtest.h>

#include "base/philox.h"

namespace conclave {
namespace {

TEST(StopScanner, HoldsBackOnlyWhatCouldBecomeAStop) {
  StopScanner scanner({"STOP"}, false);
  EXPECT_EQ(scanner.Push("abc").text, "abc");
  EXPECT_EQ(scanner.Push("xST").text, "x");
  EXPECT_EQ(scanner.Push("A").text, "STA");
  EXPECT_EQ(scanner.Push("SSTO").text, "S");
  const StopScanner::Piece piece = scanner.Push("Prest");
  EXPECT_EQ(piece.text, "");
  EXPECT_EQ(piece.stop, "STOP");
}

TEST(StopScanner, TheStopIsInTheTextWhenAskedFor) {
  StopScanner scanner({"STOP"}, true);
  EXPECT_EQ(scanner.Push("xST").text, "x");
  EXPECT_EQ(scanner.Push("OPrest").text, "STOP");
}

TEST(StopScanner, TheEndGivesBackWhatWasHeld) {
  StopScanner scanner({"STOP"}, false);
  EXPECT_EQ(scanner.Push("xST").text, "x");
  EXPECT_EQ(scanner.Flush(), "ST");
  EXPECT_EQ(scanner.Flush(), "");
}

TEST(StopScanner, TheFirstCompleteOneCountsAndTheLongestOfThose) {
  StopScanner first({"abcd", "bc"}, false);
  EXPECT_EQ(first.Push("xabcd").stop, "bc");
  StopScanner longest({"bc", "abc"}, false);
  const StopScanner::Piece piece = longest.Push("xabc");
  EXPECT_EQ(piece.stop, "abc");
  EXPECT_EQ(piece.text, "x");
}

TEST(StopScanner, WhatIsCompleteTooEarlyDoesNotCount) {
  StopScanner scanner({"STOP", "abc", "b"}, false);
  EXPECT_EQ(scanner.PushTooEarly("STOPxST"), "STOPx");
  EXPECT_EQ(scanner.Push("OPrest").stop, "STOP") << "it began too early, which is no matter";
  StopScanner within({"abc", "b"}, false);
  EXPECT_EQ(within.PushTooEarly("xab"), "x");
  const StopScanner::Piece piece = within.Push("d");
  EXPECT_EQ(piece.text, "abd");
  EXPECT_EQ(piece.stop, std::nullopt) << "the b was complete before";
}

// Whatever the cuts, the same text and the same stop; nothing that is final is held back.
TEST(StopScanner, CutsDoNotMatter) {
  Rng rng(11);
  const auto letters = [&](std::uint64_t most) {
    std::string text;
    for (std::uint64_t i = 1 + rng.Below(most); i > 0; --i) {
      text.push_back(static_cast<char>('a' + rng.Below(2)));
    }
    return text;
  };
  int stopped = 0;
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> stops;
    for (std::uint64_t i = 1 + rng.Below(3); i > 0; --i) stops.push_back(letters(6));
    const std::string text = letters(30);
    const bool include = rng.Below(2) == 1;
    StopScanner by_letter(stops, include);
    StopScanner by_piece(stops, include);
    StopScanner::Piece slow, quick;
    for (const char letter : text) {
      StopScanner::Piece piece = by_letter.Push(std::string(1, letter));
      slow.text += piece.text;
      slow.stop = piece.stop;
      if (slow.stop.has_value()) break;
    }
    for (std::size_t at = 0; at < text.size() && !quick.stop.has_value();) {
      const std::string piece_text = text.substr(at, 1 + rng.Below(7));
      at += piece_text.size();
      StopScanner::Piece piece = by_piece.Push(piece_text);
      quick.text += piece.text;
      quick.stop = piece.stop;
    }
    ASSERT_EQ(quick.stop, slow.stop) << text;
    ASSERT_EQ(quick.text, slow.text) << text;
    stopped += slow.stop.has_value() ? 1 : 0;
    if (!slow.stop.has_value()) {
      ASSERT_EQ(slow.text + by_letter.Flush(), text);
    }
  }
  EXPECT_GT(stopped, 500);
  EXPECT_LT(stopped, 2900);
}

}  // namespace
}  // namespace conclave
