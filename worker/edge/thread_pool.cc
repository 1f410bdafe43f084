#include "worker/edge/thread_pool.h"

#include <pthread.h>
#include <sched.h>

#include <string>

#include "kernels/kernel_set.h"
#include "worker/edge/cpu_relax.h"
#include "worker/edge/threads.h"

namespace conclave {
namespace {

constexpr int kSpins = 2000;  // some 20 to 50 us with a pause each
constexpr int kYields = 200;  // then so many turns given away
constexpr int kJoinSpins = 4000;

void Pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cpu), &set);
  pthread_setaffinity_np(pthread_self(), sizeof(set), &set);  // advice: failing costs speed only
}

}  // namespace

ThreadPool::ThreadPool(const Options& options) {
  for (int i = 1; i < options.threads; ++i) {
    std::optional<int> cpu;
    if (options.first_cpu_pinned) cpu = *options.first_cpu_pinned + i;
    helpers_.emplace_back([this, i, cpu] { Help(i, cpu); });
  }
}

ThreadPool::~ThreadPool() {
  stopping_.store(true, std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

void ThreadPool::Run(Work work) {
  ticket_.store(0, std::memory_order_relaxed);
  if (helpers_.empty()) return work(Lane{0, 1, &ticket_});
  work_ = &work;
  left_.store(static_cast<int>(helpers_.size()), std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  work(Lane{0, count(), &ticket_});
  for (int spins = 0; left_.load(std::memory_order_acquire) > 0; ++spins) {
    if (spins < kJoinSpins) {
      CpuRelax();
    } else {
      sched_yield();  // a helper may need this core to finish
    }
  }
}

// Waits until the round differs from `last`; returns it.
std::uint32_t ThreadPool::AwaitRound(std::uint32_t last) {
  for (int turn = 0; turn < kSpins + kYields; ++turn) {
    const std::uint32_t round = round_.load(std::memory_order_acquire);
    if (round != last) return round;
    if (turn < kSpins) {
      CpuRelax();
    } else {
      sched_yield();
    }
  }
  round_.wait(last, std::memory_order_acquire);
  return round_.load(std::memory_order_acquire);
}

void ThreadPool::Help(int index, std::optional<int> cpu) {
  NameThisThread("lane-" + std::to_string(index));
  SetComputeThreadFloatMode();
  if (cpu) Pin(*cpu);
  std::uint32_t round = 0;
  while (true) {
    round = AwaitRound(round);
    if (stopping_.load(std::memory_order_relaxed)) return;
    (*work_)(Lane{index, count(), &ticket_});
    left_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace conclave
