#include "coordinator/edge/event_times.h"

#include <algorithm>
#include <bit>
#include <iterator>
#include <variant>

namespace conclave {
namespace {

// In the order of the variants. A worker's message counts under its own name.
constexpr const char* kMessageNames[] = {"hello",     "ready",         "step_result", "step_broken",
                                         "heartbeat", "load_progress", "leave_asked", "loaded",
                                         "connected", "recorder_told"};
constexpr const char* kEventNames[] = {"client_asked", "client_left", "abort_asked",
                                       "worker_arrived", "worker_said", "worker_gone",
                                       "tick", "drain_asked", "rebalance_asked",
                                       "text_judged"};
static_assert(std::size(kMessageNames) == std::variant_size_v<FromWorker>);
static_assert(std::size(kEventNames) == std::variant_size_v<CoordinatorEvent>);
constexpr std::size_t kPublish = std::size(kMessageNames) + std::size(kEventNames);

std::size_t KindOf(const CoordinatorEvent& event) {
  if (const auto* said = std::get_if<WorkerSaid>(&event)) return said->message.index();
  return std::size(kMessageNames) + event.index();
}

const char* NameOf(std::size_t kind) {
  if (kind == kPublish) return "publish";
  if (kind < std::size(kMessageNames)) return kMessageNames[kind];
  return kEventNames[kind - std::size(kMessageNames)];
}

}  // namespace

EventTimes::EventTimes(clockid_t clock) : clock_(clock), times_(kPublish + 1) {}

std::int64_t EventTimes::Now() const {
  timespec time{};
  clock_gettime(clock_, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

// The first octave, below 2^kPerOctaveBits ns, has a bucket for each nanosecond.
std::size_t EventTimes::BucketOf(std::uint64_t nanos) {
  constexpr std::uint64_t kFirst = std::uint64_t{1} << kPerOctaveBits;
  if (nanos < kFirst) return nanos;
  const int octave = static_cast<int>(std::bit_width(nanos)) - kPerOctaveBits;
  const std::uint64_t within = (nanos >> (octave - 1)) - kFirst;
  const auto bucket = (static_cast<std::size_t>(octave) << kPerOctaveBits) + within;
  return std::min(bucket, kBuckets - 1);
}

// The middle of the bucket.
double EventTimes::MicrosOf(std::size_t bucket) {
  const std::size_t octave = bucket >> kPerOctaveBits;
  constexpr std::size_t kFirst = std::size_t{1} << kPerOctaveBits;
  if (octave == 0) return static_cast<double>(bucket) / 1e3;
  const double width = static_cast<double>(std::uint64_t{1} << (octave - 1));
  return (static_cast<double>(kFirst + bucket % kFirst) + 0.5) * width / 1e3;
}

void EventTimes::AddTo(Times& times, std::int64_t nanos) {
  // One thread writes, so that no addition needs to be atomic as a whole.
  const auto add = [](std::atomic<std::uint64_t>& to, std::uint64_t value) {
    to.store(to.load(std::memory_order_relaxed) + value, std::memory_order_relaxed);
  };
  const auto spent = static_cast<std::uint64_t>(std::max<std::int64_t>(0, nanos));
  add(times.counts[BucketOf(spent)], 1);
  add(times.count, 1);
  add(times.nanos, spent);
  if (spent > times.max.load(std::memory_order_relaxed)) {
    times.max.store(spent, std::memory_order_relaxed);
  }
}

void EventTimes::Add(const CoordinatorEvent& event, std::int64_t nanos) {
  AddTo(times_[KindOf(event)], nanos);
}

void EventTimes::AddPublish(std::int64_t nanos) { AddTo(times_[kPublish], nanos); }

double EventTimes::Quantile(const Times& times, double part) {
  std::uint64_t total = 0;
  for (const auto& count : times.counts) total += count.load(std::memory_order_relaxed);
  const auto wanted = static_cast<std::uint64_t>(part * static_cast<double>(total));
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < kBuckets; ++i) {
    below += times.counts[i].load(std::memory_order_relaxed);
    if (below > wanted) return MicrosOf(i);
  }
  return 0;
}

std::vector<EventTimes::Summary> EventTimes::Summaries() const {
  std::vector<Summary> summaries;
  for (std::size_t kind = 0; kind < times_.size(); ++kind) {
    const Times& times = times_[kind];
    const std::uint64_t count = times.count.load(std::memory_order_relaxed);
    if (count == 0) continue;
    const double max = static_cast<double>(times.max.load(std::memory_order_relaxed)) / 1e3;
    summaries.push_back({.name = NameOf(kind),
                         .count = count,
                         .seconds = static_cast<double>(times.nanos.load()) / 1e9,
                         .us_p50 = std::min(max, Quantile(times, 0.5)),
                         .us_p99 = std::min(max, Quantile(times, 0.99)),
                         .us_max = max});
  }
  return summaries;
}

}  // namespace conclave
