// The threads that kernels run on: one team, one piece of work at a time, joined after each.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <thread>
#include <vector>

#include "kernels/lane.h"

namespace conclave {

// Thread 0 of the team is the one that calls Run. The other count - 1 wait for work: first spinning,
// because the next kernel is microseconds away, then yielding their core at each turn, because there
// may be more processes than cores, and at last asleep.
class ThreadPool final : public Lanes {
 public:
  struct Options {
    int threads = 1;                      // >= 1
    std::optional<int> first_cpu_pinned;  // helper i is pinned to this CPU + i
  };
  explicit ThreadPool(const Options& options);
  ~ThreadPool() override;
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int count() const override { return static_cast<int>(helpers_.size()) + 1; }
  // Allocates nothing. From one thread at a time; that thread has called
  // SetComputeThreadFloatMode.
  void Run(absl::FunctionRef<void(const Lane&)> work) override;

 private:
  using Work = absl::FunctionRef<void(const Lane&)>;
  void Help(int index, std::optional<int> cpu);
  std::uint32_t AwaitRound(std::uint32_t last);

  // Orders the work pointer before the helpers that read it: they acquire `round_`, which Run
  // releases. Their results are ordered before Run's return by `left_` in the same way. Without
  // it: thread_pool_test, case EveryLaneSeesTheWorkAndItsResultsAreSeen, under thread sanitizer.
  alignas(64) std::atomic<std::uint32_t> round_{0};
  alignas(64) std::atomic<int> left_{0};
  alignas(64) std::atomic<std::int64_t> ticket_{0};
  alignas(64) const Work* work_ = nullptr;
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> helpers_;
};

}  // namespace conclave
