#include "coordinator/stop_scanner.h"

#include <algorithm>
#include <utility>

namespace conclave {

StopScanner::StopScanner(std::vector<std::string> stops, bool include_stop_in_text)
    : stops_(std::move(stops)), include_stop_(include_stop_in_text) {}

std::size_t StopScanner::HeldBack() const {
  const std::string_view pending = pending_;
  std::size_t longest = 0;
  for (const std::string& stop : stops_) {
    for (std::size_t size = std::min(stop.size() - 1, pending.size()); size > longest; --size) {
      if (pending.substr(pending.size() - size) == std::string_view(stop).substr(0, size)) {
        longest = size;
        break;
      }
    }
  }
  return longest;
}

StopScanner::Piece StopScanner::Push(std::string_view text) {
  Piece piece;
  if (stops_.empty()) {
    piece.text = std::string(text);
    return piece;
  }
  const std::size_t before = pending_.size();
  pending_ += text;
  std::size_t begin = 0;
  std::size_t end = std::string::npos;
  const std::string* found = nullptr;
  for (const std::string& stop : stops_) {
    // What was complete before was too early.
    const std::size_t first = before >= stop.size() ? before + 1 - stop.size() : 0;
    const std::size_t at = pending_.find(stop, first);
    if (at == std::string::npos) continue;
    if (found == nullptr || std::pair(at + stop.size(), at) < std::pair(end, begin)) {
      found = &stop;
      begin = at;
      end = at + stop.size();
    }
  }
  if (found != nullptr) {
    piece.text = pending_.substr(0, include_stop_ ? end : begin);
    piece.stop = *found;
    pending_.clear();
    return piece;
  }
  piece.text = TakeFinal();
  return piece;
}

std::string StopScanner::PushTooEarly(std::string_view text) {
  pending_ += text;
  return TakeFinal();
}

std::string StopScanner::TakeFinal() {
  const std::size_t final_bytes = pending_.size() - HeldBack();
  std::string text = pending_.substr(0, final_bytes);
  pending_.erase(0, final_bytes);
  return text;
}

std::string StopScanner::Flush() { return std::exchange(pending_, {}); }

}  // namespace conclave
