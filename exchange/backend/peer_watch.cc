#include "exchange/backend/peer_watch.h"

#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "base/hash.h"

namespace conclave {
namespace {

struct ProcessName {
  std::uint64_t boot;           // hash of the machine's boot id
  std::uint64_t pid_namespace;  // inode
  std::uint64_t started;        // clock ticks since boot: tells a reused pid apart
  std::uint64_t pid;
};

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Field 22 of /proc/PID/stat; the name in field 2 may hold blanks, so counting begins after it.
std::uint64_t StartOf(std::uint64_t pid) {
  const std::string line = FirstLine("/proc/" + std::to_string(pid) + "/stat");
  const std::size_t name_ends = line.rfind(')');
  if (name_ends == std::string::npos) return 0;
  std::istringstream fields(line.substr(name_ends + 1));
  std::string skipped;
  for (int field = 3; field < 22; ++field) fields >> skipped;
  std::uint64_t started = 0;
  fields >> started;
  return started;
}

ProcessName Own() {
  struct stat place {};
  // A /proc of another namespace knows us by another number, and would mislead about peers too.
  char self[32] = {};
  const bool own_proc =
      readlink("/proc/self", self, sizeof self - 1) > 0 && std::to_string(getpid()) == self;
  const bool known = own_proc && stat("/proc/self/ns/pid", &place) == 0;
  const auto pid = static_cast<std::uint64_t>(getpid());
  return {.boot = HashBytes(FirstLine("/proc/sys/kernel/random/boot_id")),
          .pid_namespace = known ? place.st_ino : 0,
          .started = StartOf(pid),
          .pid = pid};
}

}  // namespace

std::string OwnProcessName() {
  const ProcessName own = Own();
  return std::string(reinterpret_cast<const char*>(&own), sizeof own);
}

bool PeerWatch::Add(Slot slot, std::string_view process_name) {
  ProcessName peer{};
  if (process_name.size() != sizeof peer) return true;
  std::memcpy(&peer, process_name.data(), sizeof peer);
  const ProcessName own = Own();
  const bool in_sight = peer.boot == own.boot && peer.pid_namespace == own.pid_namespace &&
                        peer.pid_namespace != 0 && peer.pid != own.pid;
  if (!in_sight) return true;
  const long fd = syscall(SYS_pidfd_open, static_cast<pid_t>(peer.pid), 0);
  if (fd < 0) return errno != ESRCH;
  processes_.push_back({.fd = static_cast<int>(fd), .events = POLLIN, .revents = 0});
  slots_.push_back(slot);
  return StartOf(peer.pid) == peer.started;
}

void PeerWatch::Clear() {
  for (const pollfd& process : processes_) close(process.fd);
  processes_.clear();
  slots_.clear();
  ended_.clear();
}

void PeerWatch::Look() {
  if (processes_.empty() || poll(processes_.data(), processes_.size(), 0) <= 0) return;
  ended_.clear();
  for (std::size_t i = 0; i < processes_.size(); ++i) {
    if (processes_[i].revents != 0) ended_.push_back(slots_[i]);
  }
}

}  // namespace conclave
