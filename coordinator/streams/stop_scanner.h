// Finds stop strings in text that arrives in pieces, and holds back only what could still become
// one. The result does not depend on where the pieces were cut: the stop string that is complete
// first counts, and the longest of those complete at the same byte.
//
// The work per byte of text is bounded by the number of stop strings, whatever their lengths and
// their contents (Knuth, Morris and Pratt: one automaton per stop string).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace conclave {

class StopScanner {
 public:
  StopScanner() = default;
  StopScanner(const std::vector<std::string>& stops, bool include_stop_in_text);

  struct Piece {
    std::string text;                 // final
    std::optional<std::string> stop;  // found; nothing more may be pushed
  };
  Piece Push(std::string_view text);
  // Text in which no stop string counts that is complete there; one that only begins in it may be
  // completed later.
  std::string PushTooEarly(std::string_view text);
  // The end: what was held back.
  std::string Flush();

 private:
  // One stop string and how much of it the text ends with.
  class Matcher {
   public:
    explicit Matcher(const std::string& stop);
    // Takes one byte of text; true when the stop string is complete with it.
    bool Push(char byte);
    // Bytes at the end of the text that are a beginning of the stop string, but not the whole.
    std::size_t matched() const { return matched_; }
    const std::string& stop() const { return stop_; }
    void Restart() { matched_ = 0; }

   private:
    std::string stop_;
    // For the first i + 1 bytes of the stop string: the length of the longest shorter beginning of
    // the stop string that these bytes end with.
    std::vector<std::uint32_t> borders_;
    std::size_t matched_ = 0;
  };

  // Takes one byte of text; the longest stop string that is complete with it, or null.
  const std::string* Push(char byte);
  std::string TakeFinal();
  void Restart();

  std::vector<Matcher> matchers_;
  bool include_stop_ = false;
  std::string pending_;  // text that is not final yet
};

}  // namespace conclave
