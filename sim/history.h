// Everything that happened, as one number: two runs of a seed must agree on it. On request also as
// lines, for a person who looks for a mistake.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/strings/string_view.h"
#include "base/hash.h"
#include "base/ids.h"

namespace conclave::sim {

using TraceFn = std::function<void(const std::string& line)>;

class History {
 public:
  explicit History(TraceFn trace) : trace_(std::move(trace)) {}

  void Note(Micros now, absl::string_view what, std::int64_t who, absl::string_view bytes) {
    digest_ = Mix(digest_, static_cast<std::uint64_t>(now));
    digest_ = Mix(digest_, HashBytes(std::string_view(what.data(), what.size()),
                                     static_cast<std::uint64_t>(who)));
    digest_ = Mix(digest_, HashBytes(std::string_view(bytes.data(), bytes.size())));
    ++events_;
  }
  bool traced() const { return trace_ != nullptr; }
  void Trace(Micros now, const std::string& line) {
    if (trace_) trace_(std::to_string(now) + " us  " + line);
  }
  std::uint64_t digest() const { return digest_; }
  std::uint64_t events() const { return events_; }

 private:
  TraceFn trace_;
  std::uint64_t digest_ = 0;
  std::uint64_t events_ = 0;
};

}  // namespace conclave::sim
