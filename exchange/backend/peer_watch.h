// Notices that a peer's process on this machine has ended, within a millisecond or so. Shared
// memory does not say so by itself, and UCX 1.13's own keepalive cannot be used: it crashes in a
// process that was connected to by one that is gone (faults_test, case
// APeerThatNeverOpenedIsMissing). Peers on other machines, or behind another PID namespace, are
// left to the transport's own errors.
#pragma once

#include <poll.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"

namespace conclave {

// Names this process among all machines, for the address that peers get.
std::string OwnProcessName();

class PeerWatch {
 public:
  PeerWatch() = default;
  ~PeerWatch() { Clear(); }
  PeerWatch(const PeerWatch&) = delete;
  PeerWatch& operator=(const PeerWatch&) = delete;

  // False when that process has ended already. True also when it cannot be watched from here.
  bool Add(Slot slot, std::string_view process_name);
  void Clear();
  // One system call. Allocates nothing while all live.
  void Look();
  // Whose process had ended at the last look.
  const std::vector<Slot>& Ended() const { return ended_; }

 private:
  std::vector<pollfd> processes_;
  std::vector<Slot> slots_;  // beside processes_
  std::vector<Slot> ended_;
};

}  // namespace conclave
