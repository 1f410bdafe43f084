#include "worker/edge/load_log.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/edge/clock.h"

namespace conclave {

LoadLog::LoadLog(std::string what, LogFn log)
    : what_(std::move(what)), log_(std::move(log)), began_(SteadyMicros()), said_(began_) {}

LoadProgressFn LoadLog::AsFunction() {
  return [this](std::uint64_t done, std::uint64_t total) { Hear(done, total); };
}

void LoadLog::Hear(std::uint64_t done, std::uint64_t total) {
  if (done == done_) return;  // said before, or nothing was missing
  constexpr Micros kSayEvery = 2'000'000;
  const Micros now = SteadyMicros();
  if (done < done_) began_ = now;  // the next load
  done_ = done;
  if (done < total && now - said_ < kSayEvery) return;
  said_ = now;
  const double seconds = static_cast<double>(std::max<Micros>(1, now - began_)) / 1e6;
  log_(LogLevel::kInfo,
       absl::StrFormat("%s: %.2f of %.2f GB packed, %.2f GB/s", what_,
                       static_cast<double>(done) / 1e9, static_cast<double>(total) / 1e9,
                       static_cast<double>(done) / 1e9 / seconds));
}

}  // namespace conclave
