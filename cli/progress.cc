#include "cli/progress.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/edge/clock.h"

namespace conclave {
namespace {

constexpr Micros kBetween = 100'000;

double Gbps(std::uint64_t bytes, Micros elapsed) {
  return elapsed > 0 ? static_cast<double>(bytes) / static_cast<double>(elapsed) / 1e3 : 0;
}

}  // namespace

std::string ProgressText(std::uint64_t done, std::uint64_t total, Micros elapsed) {
  constexpr std::size_t kWidth = 30;
  const double share =
      total > 0 ? std::min(1.0, static_cast<double>(done) / static_cast<double>(total)) : 1;
  const auto full = static_cast<std::size_t>(share * static_cast<double>(kWidth));
  return absl::StrFormat("[%s%s] %3.0f %%  %.2f of %.2f GB  %.2f GB/s", std::string(full, '#'),
                         std::string(kWidth - full, '-'), share * 100,
                         static_cast<double>(done) / 1e9, static_cast<double>(total) / 1e9,
                         Gbps(done, elapsed));
}

ProgressBar::ProgressBar(std::string what) : what_(std::move(what)), began_(SteadyMicros()) {}

std::function<void(std::uint64_t, std::uint64_t)> ProgressBar::AsFunction() {
  return [this](std::uint64_t done, std::uint64_t total) {
    done_ = done;
    const Micros now = SteadyMicros();
    if (now - shown_ < kBetween && done < total) return;
    shown_ = now;
    line_.Show(absl::StrCat(what_, " ", ProgressText(done, total, now - began_)));
  };
}

std::string ProgressBar::Summary() const {
  const Micros elapsed = SteadyMicros() - began_;
  return absl::StrFormat("%.2f GB in %.1f s, %.2f GB/s", static_cast<double>(done_) / 1e9,
                         static_cast<double>(elapsed) / 1e6, Gbps(done_, elapsed));
}

}  // namespace conclave
