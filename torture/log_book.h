// The log lines of every process, with the time at which each arrived, and the faults between them.
#pragma once

#include <cstdio>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"

namespace conclave::torture {

class LogBook {
 public:
  // Everything also goes to `file` (may be null, stays the caller's), as it comes; what "torture"
  // says to standard error, too, if `aloud`.
  LogBook(Micros start, std::FILE* file, bool aloud) : start_(start), file_(file), aloud_(aloud) {}

  // Thread-safe. `who` is a process's name.
  void Say(std::string_view who, std::string_view line);
  // "  12.345 s [who] line" of those that arrived in [from, to]; the last `lines_max` of them.
  std::vector<std::string> Between(Micros from, Micros to, std::size_t lines_max) const;

 private:
  struct Line {
    Micros at;
    std::string text;
  };
  const Micros start_;
  std::FILE* const file_;
  const bool aloud_;
  mutable std::mutex mutex_;
  std::deque<Line> lines_;
};

}  // namespace conclave::torture
