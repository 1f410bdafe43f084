// How long the strand works on each kind of event: the core's handling and carrying its effects
// out. Written by the strand, read by any thread.
#pragma once

#include <time.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include "coordinator/core.h"

namespace conclave {

class EventTimes {
 public:
  // CLOCK_MONOTONIC tells what others wait for; CLOCK_THREAD_CPUTIME_ID leaves out what other
  // processes of a busy machine take away, which is what a benchmark wants.
  explicit EventTimes(clockid_t clock = CLOCK_MONOTONIC);

  std::int64_t Now() const;  // nanoseconds; of the strand's own clock, so call it there
  void Add(const CoordinatorEvent& event, std::int64_t nanos);
  void AddPublish(std::int64_t nanos);  // of one snapshot after a batch

  struct Summary {
    const char* name;
    std::uint64_t count = 0;
    double seconds = 0;  // in all
    double us_p50 = 0, us_p99 = 0, us_max = 0;  // p50 and p99 within 4 %
  };
  // Of every kind that has happened at least once.
  std::vector<Summary> Summaries() const;

 private:
  // Counts by time: kPerOctave buckets of equal width in every power of two.
  static constexpr int kPerOctaveBits = 5, kOctaves = 36;
  static constexpr std::size_t kBuckets = std::size_t{kOctaves} << kPerOctaveBits;
  struct Times {
    std::array<std::atomic<std::uint64_t>, kBuckets> counts{};
    std::atomic<std::uint64_t> count{0}, nanos{0}, max{0};
  };
  static std::size_t BucketOf(std::uint64_t nanos);
  static double MicrosOf(std::size_t bucket);
  static double Quantile(const Times& times, double part);
  static void AddTo(Times& times, std::int64_t nanos);

  const clockid_t clock_;
  std::vector<Times> times_;  // by kind; see KindOf in the .cc file
};

}  // namespace conclave
