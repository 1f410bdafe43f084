#include "coordinator/edge/work_pool.h"

#include <utility>

namespace conclave {

WorkPool::WorkPool(const Limits& limits) : limits_(limits) {
  for (int i = 0; i < limits_.threads; ++i) threads_.emplace_back([this] { Run(); });
}

WorkPool::~WorkPool() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

bool WorkPool::Offer(std::size_t bytes, std::function<void()> work) {
  {
    std::lock_guard lock(mutex_);
    if (stopping_ || queue_.size() >= limits_.entries_max || bytes_ + bytes > limits_.bytes_max) {
      return false;
    }
    bytes_ += bytes;
    queue_.push_back({bytes, std::move(work)});
  }
  wake_.notify_one();
  return true;
}

void WorkPool::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    Entry entry = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    entry.work();
    entry.work = nullptr;  // what it held is gone before its bytes are given back
    lock.lock();
    bytes_ -= entry.bytes;
  }
}

}  // namespace conclave
