// How a kernel divides its work among threads. A kernel is called once per thread of a team, at the
// same time and with the same arguments. The threads divide rows or output channels among
// themselves, never the terms of one sum. A call returns when its thread's part is done; the caller
// joins the threads.
#pragma once

#include <atomic>
#include <cstdint>

#include "absl/functional/function_ref.h"

namespace conclave {

struct Lane {
  int index = 0;
  int count = 1;
  // The number of the next piece of work that no thread has taken. Shared by the threads of one
  // call and 0 when the call starts. Which thread takes a piece never changes a bit of the result.
  std::atomic<std::int64_t>* ticket = nullptr;

  std::int64_t Take() const { return ticket->fetch_add(1, std::memory_order_relaxed); }
};

// A team of threads that runs one function at a time, once per thread, and joins. The edge
// implements it by a thread pool, tests and the simulator by a plain call (`SoloLanes`). Run is not
// reentrant and allocates nothing.
class Lanes {
 public:
  virtual ~Lanes() = default;
  virtual int count() const = 0;
  virtual void Run(absl::FunctionRef<void(const Lane&)> work) = 0;
};

class SoloLanes final : public Lanes {
 public:
  int count() const override { return 1; }
  void Run(absl::FunctionRef<void(const Lane&)> work) override {
    std::atomic<std::int64_t> ticket{0};
    work(Lane{0, 1, &ticket});
  }
};

}  // namespace conclave
