// Bytes done of bytes in all, with GB/s, on a terminal's last line; nowhere else.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/ids.h"
#include "cli/target.h"

namespace conclave {

class ProgressBar {
 public:
  explicit ProgressBar(std::string what);
  // Valid as long as this object.
  std::function<void(std::uint64_t done, std::uint64_t total)> AsFunction();
  // "1.2 GB in 3.4 s, 0.35 GB/s", of all that was done.
  std::string Summary() const;

 private:
  const std::string what_;
  const Micros began_;
  NewsLine line_;
  Micros shown_ = 0;
  std::uint64_t done_ = 0;
};

// "[#####-----]  50 %  1.2 of 2.4 GB  0.35 GB/s". Pure.
std::string ProgressText(std::uint64_t done, std::uint64_t total, Micros elapsed);

}  // namespace conclave
