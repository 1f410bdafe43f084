// Lanes for benchmarks: threads that spin between calls, so that what is timed is the kernel.
#pragma once

#include <atomic>
#include <thread>
#include <vector>

#include "kernels/kernel_set.h"
#include "kernels/lane.h"

namespace conclave {

class SpinningLanes final : public Lanes {
 public:
  explicit SpinningLanes(int count) : count_(count) {
    SetComputeThreadFloatMode();
    for (int i = 1; i < count; ++i) threads_.emplace_back([this, i] { Serve(i); });
  }
  ~SpinningLanes() override {
    work_ = nullptr;
    call_.fetch_add(1, std::memory_order_release);
    for (std::thread& thread : threads_) thread.join();
  }
  SpinningLanes(const SpinningLanes&) = delete;
  SpinningLanes& operator=(const SpinningLanes&) = delete;

  int count() const override { return count_; }

  void Run(absl::FunctionRef<void(const Lane&)> work) override {
    ticket_.store(0, std::memory_order_relaxed);
    done_.store(0, std::memory_order_relaxed);
    work_ = &work;
    call_.fetch_add(1, std::memory_order_release);  // publishes work_, ticket_ and done_
    work(Lane{0, count_, &ticket_});
    // Orders the lanes' results before what the caller reads next.
    SpinUntil([&] { return done_.load(std::memory_order_acquire) == count_ - 1; });
  }

 private:
  // Gives the core away after a while, for machines with fewer cores than lanes.
  static void SpinUntil(auto&& ready) {
    for (int spins = 0; !ready(); ++spins) {
      if (spins > 20000) std::this_thread::yield();
    }
  }

  void Serve(int index) {
    SetComputeThreadFloatMode();
    for (unsigned seen = 0;;) {
      SpinUntil([&] { return call_.load(std::memory_order_acquire) != seen; });
      ++seen;
      if (work_ == nullptr) return;
      (*work_)(Lane{index, count_, &ticket_});
      done_.fetch_add(1, std::memory_order_release);
    }
  }

  int count_;
  const absl::FunctionRef<void(const Lane&)>* work_ = nullptr;
  std::atomic<unsigned> call_{0};
  std::atomic<int> done_{0};
  std::atomic<std::int64_t> ticket_{0};
  std::vector<std::thread> threads_;
};

}  // namespace conclave
