#include "coordinator/recent_load.h"

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace conclave {
namespace {

constexpr double kHalfAfter = 300'000'000;  // microseconds
constexpr Micros kFadeEvery = 10'000'000;
constexpr double kMicrosMin = 1'000'000;  // of expert work: less says nothing about speed
constexpr double kNoise = 0.2;
constexpr double kRangeMax = 4;

constexpr std::size_t kExpertsPhase = [] {
  std::size_t phase = 0;
  while (std::string_view(kPhaseNames[phase]) != "experts") ++phase;
  return phase;
}();

}  // namespace

void ExpertWork::Add(std::span<const PhaseTime> phases) {
  for (const PhaseTime& time : phases) {
    if (time.phase != kExpertsPhase) continue;
    micros += static_cast<double>(time.micros);
    bytes += static_cast<double>(time.bytes);
    ops += static_cast<double>(time.ops);
  }
}

void ExpertWork::Fade(double factor) {
  micros *= factor;
  bytes *= factor;
  ops *= factor;
}

void RecentLoad::Add(std::span<const std::uint32_t> expert_rows) {
  if (expert_rows_.size() < expert_rows.size()) expert_rows_.resize(expert_rows.size());
  std::uint64_t rows = 0;
  for (std::size_t i = 0; i < expert_rows.size(); ++i) {
    expert_rows_[i] += static_cast<float>(expert_rows[i]);
    rows += expert_rows[i];
  }
  rows_ += static_cast<double>(rows);
}

double RecentLoad::Fade(Micros now) {
  const Micros since = now - faded_at_;
  if (faded_at_ > 0 && since < kFadeEvery) return 1;
  if (faded_at_ == 0) {
    faded_at_ = now;
    return 1;
  }
  const auto length = static_cast<double>(since);
  const double factor = kHalfAfter / (kHalfAfter + length);
  faded_at_ = now;
  covered_ = (covered_ + length) * factor;
  rows_ *= factor;
  for (float& rows : expert_rows_) rows *= static_cast<float>(factor);
  return factor;
}

double RecentLoad::covered(Micros now) const {
  return covered_ + static_cast<double>(faded_at_ > 0 ? now - faded_at_ : 0);
}

// A worker's work is judged by what it would have taken on the average: half of its time by the
// bytes it read, half by the operations it did, because either may be what limits it.
std::vector<double> RelativeSpeeds(std::span<const WorkerPace> paces) {
  ExpertWork all;
  double threads = 0;
  for (const WorkerPace& pace : paces) {
    threads += pace.threads;
    if (pace.work.micros < kMicrosMin) continue;
    all.micros += pace.work.micros;
    all.bytes += pace.work.bytes;
    all.ops += pace.work.ops;
  }
  const bool threads_known =
      std::ranges::all_of(paces, [](const WorkerPace& pace) { return pace.threads > 0; });
  std::vector<double> speeds;
  for (const WorkerPace& pace : paces) {
    double speed = 1;
    if (pace.work.micros >= kMicrosMin && all.bytes > 0 && all.ops > 0) {
      const double expected = (pace.work.bytes / all.bytes + pace.work.ops / all.ops) / 2;
      speed = expected / (pace.work.micros / all.micros);
    } else if (threads_known) {
      speed = pace.threads * static_cast<double>(paces.size()) / threads;
    }
    const bool noise = speed < 1 + kNoise && speed > 1 / (1 + kNoise);
    speeds.push_back(noise ? 1 : std::clamp(speed, 1 / kRangeMax, kRangeMax));
  }
  return speeds;
}

}  // namespace conclave
