#include "coordinator/streams/stop_scanner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

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

// The rules, word for word and slowly: all text is kept, every place is tried.
class SlowScanner {
 public:
  SlowScanner(std::vector<std::string> stops, bool include) : stops_(std::move(stops)) {
    include_ = include;
  }
  StopScanner::Piece Push(const std::string& text, bool counts) {
    const std::size_t before = all_.size();
    all_ += text;
    for (std::size_t end = before + 1; counts && end <= all_.size(); ++end) {
      std::string longest;
      for (const std::string& stop : stops_) {
        const bool complete = all_.substr(0, end).ends_with(stop);
        if (complete && stop.size() > longest.size()) longest = stop;
      }
      if (!longest.empty()) return {TakeUpTo(end - (include_ ? 0 : longest.size())), longest};
    }
    std::size_t held = 0;
    for (const std::string& stop : stops_) {
      for (std::size_t size = 1; size < stop.size(); ++size) {
        if (all_.ends_with(stop.substr(0, size))) held = std::max(held, size);
      }
    }
    return {TakeUpTo(all_.size() - held), std::nullopt};
  }
  std::string Flush() { return TakeUpTo(all_.size()); }

 private:
  std::string TakeUpTo(std::size_t end) {
    std::string text = all_.substr(taken_, end - taken_);
    taken_ = end;
    return text;
  }
  std::vector<std::string> stops_;
  bool include_ = false;
  std::string all_;
  std::size_t taken_ = 0;
};

// Equal to the rules in every piece, also behind text in which nothing counts. Letters are few and
// stop strings repeat themselves, so that beginnings overlap in every way.
TEST(StopScanner, EqualsTheRules) {
  Rng rng(17);
  int stopped = 0, held = 0;
  for (int round = 0; round < 20'000; ++round) {
    const std::uint64_t letters = 1 + rng.Below(3);
    const auto word = [&](std::uint64_t most) {
      std::string text;
      for (std::uint64_t i = 1 + rng.Below(most); i > 0; --i) {
        text.push_back(static_cast<char>('a' + rng.Below(letters)));
      }
      return text;
    };
    std::vector<std::string> stops;
    for (std::uint64_t i = rng.Below(17); i > 0; --i) {
      std::string stop = word(4);
      while (rng.Below(3) == 0) stop += stop;
      stops.push_back(stop + (rng.Below(2) == 0 ? word(3) : ""));
    }
    const bool include = rng.Below(2) == 1;
    StopScanner scanner(stops, include);
    SlowScanner slow(stops, include);
    std::uint64_t early = rng.Below(4);
    bool found = false;
    for (int pieces = 0; pieces < 8 && !found; ++pieces) {
      const std::string text = rng.Below(8) == 0 ? "" : word(6);
      const bool counts = early == 0;
      early -= counts ? 0 : 1;
      StopScanner::Piece piece;
      if (counts) {
        piece = scanner.Push(text);
      } else {
        piece.text = scanner.PushTooEarly(text);
      }
      const StopScanner::Piece expected = slow.Push(text, counts);
      ASSERT_EQ(piece.stop, expected.stop) << round;
      ASSERT_EQ(piece.text, expected.text) << round;
      found = piece.stop.has_value();
    }
    stopped += found ? 1 : 0;
    if (found) continue;
    const std::string rest = scanner.Flush();
    ASSERT_EQ(rest, slow.Flush()) << round;
    held += rest.empty() ? 0 : 1;
  }
  EXPECT_GT(stopped, 5000);
  EXPECT_GT(held, 100);
}

// The worst stop strings that are admitted: each byte of text fits the beginnings of all of them.
TEST(StopScanner, LongStopStringsThatNearlyMatch) {
  const std::string run(255, 'a');
  std::vector<std::string> stops;
  for (char last = 'b'; last < 'r'; ++last) stops.push_back(run + last);
  StopScanner scanner(stops, false);
  std::string text;
  for (int i = 0; i < 50'000; ++i) text += scanner.Push("aaaa").text;
  EXPECT_EQ(text.size(), 200'000u - 255u);
  const StopScanner::Piece piece = scanner.Push("q");
  EXPECT_EQ(piece.text, "");
  EXPECT_EQ(piece.stop, run + "q");
}

}  // namespace
}  // namespace conclave
