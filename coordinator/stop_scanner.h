// Finds stop strings in text that arrives in pieces, and holds back only what could still become
// one. The result does not depend on where the pieces were cut: the stop string that is complete
// first counts, and the longest of those complete at the same byte.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace conclave {

class StopScanner {
 public:
  StopScanner() = default;
  StopScanner(std::vector<std::string> stops, bool include_stop_in_text);

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
  std::string TakeFinal();
  std::size_t HeldBack() const;  // bytes at the end of pending_ that begin some stop string

  std::vector<std::string> stops_;
  bool include_stop_ = false;
  std::string pending_;
};

}  // namespace conclave
