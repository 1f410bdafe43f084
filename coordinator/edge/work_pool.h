// A few threads for work that is too long for a reactor (tokenizing, templates), behind a queue
// bounded in entries and in bytes.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace conclave {

class WorkPool {
 public:
  struct Limits {
    int threads = 2;
    std::size_t entries_max = 16384;
    std::size_t bytes_max = std::size_t{512} << 20;
  };
  explicit WorkPool(const Limits& limits);
  ~WorkPool();  // runs what is queued, then joins

  // False when the queue is full; the work is not run then. `bytes`: memory the work holds on to.
  bool Offer(std::size_t bytes, std::function<void()> work);

 private:
  struct Entry {
    std::size_t bytes;
    std::function<void()> work;
  };
  void Run();

  const Limits limits_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Entry> queue_;
  std::size_t bytes_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace conclave
