#include "coordinator/streams/stop_scanner.h"

#include <algorithm>
#include <utility>

namespace conclave {

StopScanner::Matcher::Matcher(const std::string& stop) : stop_(stop), borders_(stop.size()) {
  for (std::size_t i = 1, border = 0; i < stop_.size(); ++i) {
    while (border > 0 && stop_[i] != stop_[border]) border = borders_[border - 1];
    if (stop_[i] == stop_[border]) ++border;
    borders_[i] = static_cast<std::uint32_t>(border);
  }
}

bool StopScanner::Matcher::Push(char byte) {
  while (matched_ > 0 && stop_[matched_] != byte) matched_ = borders_[matched_ - 1];
  if (stop_[matched_] == byte) ++matched_;
  if (matched_ < stop_.size()) return false;
  matched_ = borders_[matched_ - 1];
  return true;
}

StopScanner::StopScanner(const std::vector<std::string>& stops, bool include_stop_in_text)
    : matchers_(stops.begin(), stops.end()), include_stop_(include_stop_in_text) {}

const std::string* StopScanner::Push(char byte) {
  const std::string* longest = nullptr;
  for (Matcher& matcher : matchers_) {
    if (!matcher.Push(byte)) continue;
    if (longest == nullptr || matcher.stop().size() > longest->size()) longest = &matcher.stop();
  }
  return longest;
}

StopScanner::Piece StopScanner::Push(std::string_view text) {
  Piece piece;
  if (matchers_.empty()) {
    piece.text = text;
    return piece;
  }
  for (const char byte : text) {
    pending_ += byte;
    const std::string* stop = Push(byte);
    if (stop == nullptr) continue;
    // All of the stop string is pending: each of its beginnings was held back.
    if (!include_stop_) pending_.resize(pending_.size() - stop->size());
    piece.text = std::exchange(pending_, {});
    piece.stop = *stop;
    Restart();
    return piece;
  }
  piece.text = TakeFinal();
  return piece;
}

std::string StopScanner::PushTooEarly(std::string_view text) {
  if (matchers_.empty()) return std::string(text);
  for (const char byte : text) Push(byte);
  pending_ += text;
  return TakeFinal();
}

std::string StopScanner::TakeFinal() {
  std::size_t held_back = 0;
  for (const Matcher& matcher : matchers_) held_back = std::max(held_back, matcher.matched());
  const std::size_t final_bytes = pending_.size() - held_back;
  std::string text = pending_.substr(0, final_bytes);
  pending_.erase(0, final_bytes);
  return text;
}

std::string StopScanner::Flush() {
  Restart();
  return std::exchange(pending_, {});
}

void StopScanner::Restart() {
  for (Matcher& matcher : matchers_) matcher.Restart();
}

}  // namespace conclave
