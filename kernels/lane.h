// How a kernel shares its work among threads. Every kernel is called once per lane, at the same
// time, with the same arguments; the lanes divide rows or output channels among themselves, never a
// sum. A kernel returns when its lane's share is done; the caller joins the lanes.
#pragma once

#include <atomic>
#include <cstdint>

#include "absl/functional/function_ref.h"

namespace conclave {

struct Lane {
  int index = 0;
  int count = 1;
  // Shared by the lanes of one call and zero when it starts: the next piece of work nobody has
  // taken yet. Which lane takes a piece never changes a bit of the result.
  std::atomic<std::int64_t>* ticket = nullptr;

  std::int64_t Take() const { return ticket->fetch_add(1, std::memory_order_relaxed); }
};

// A team of threads that runs one function at a time, once per lane, and joins. Implemented by a
// thread pool at the edge and by a plain call in tests and the simulator (`SoloLanes`). Run is not
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
