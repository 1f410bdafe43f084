// Stops a worker's computing threads while its others go on: what a driver's bug, a stuck disk or
// a lock that nobody frees looks like. From one thread: ptrace knows its tracer by it.
#pragma once

#include <sys/types.h>

#include <memory>
#include <vector>

#include "absl/status/statusor.h"

namespace conclave::torture {

class Wedge {
 public:
  // Unavailable: not allowed here, or it has no thread of such a name (worker/edge/threads.h).
  static absl::StatusOr<std::unique_ptr<Wedge>> Stop(pid_t process);
  ~Wedge();  // lets them go on
  Wedge(const Wedge&) = delete;
  Wedge& operator=(const Wedge&) = delete;

 private:
  Wedge() = default;
  std::vector<pid_t> threads_;
};

}  // namespace conclave::torture
