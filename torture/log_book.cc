#include "torture/log_book.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/edge/clock.h"

namespace conclave::torture {
namespace {

constexpr std::size_t kLinesMax = 50'000;

}  // namespace

void LogBook::Say(std::string_view who, std::string_view line) {
  const Micros now = SteadyMicros();
  std::lock_guard lock(mutex_);
  std::string text = absl::StrFormat("%9.3f s [%s] %s", static_cast<double>(now - start_) / 1e6,
                                     std::string(who), std::string(line));
  if (file_ != nullptr) {
    std::fprintf(file_, "%s\n", text.c_str());
    std::fflush(file_);
  }
  if (aloud_ && who == "torture") std::fprintf(stderr, "%s\n", text.c_str());
  lines_.push_back({now, std::move(text)});
  if (lines_.size() > kLinesMax) lines_.pop_front();
}

std::vector<std::string> LogBook::Between(Micros from, Micros to, std::size_t lines_max) const {
  std::lock_guard lock(mutex_);
  std::deque<std::string> found;
  for (const Line& line : lines_) {
    if (line.at < from || line.at > to) continue;
    found.push_back(line.text);
    if (found.size() > lines_max) found.pop_front();
  }
  return {found.begin(), found.end()};
}

}  // namespace conclave::torture
