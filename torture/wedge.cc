#include "torture/wedge.h"

#include <dirent.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace conclave::torture {
namespace {

// As worker/edge/threads.h names them: the strand, and the lanes that help it.
bool Computes(const std::string& name) {
  return name == "strand" || absl::StartsWith(name, "lane-");
}

std::vector<pid_t> ComputingThreads(pid_t process) {
  std::vector<pid_t> found;
  const std::string tasks = absl::StrCat("/proc/", process, "/task");
  DIR* const directory = opendir(tasks.c_str());
  if (directory == nullptr) return found;
  while (const dirent* entry = readdir(directory)) {
    const pid_t thread = static_cast<pid_t>(std::atoi(entry->d_name));
    std::string name;
    std::ifstream comm(absl::StrCat(tasks, "/", entry->d_name, "/comm"));
    if (thread > 0 && std::getline(comm, name) && Computes(name)) found.push_back(thread);
  }
  closedir(directory);
  return found;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Wedge>> Wedge::Stop(pid_t process) {
  std::unique_ptr<Wedge> wedge(new Wedge);
  for (const pid_t thread : ComputingThreads(process)) {
    if (ptrace(PTRACE_SEIZE, thread, nullptr, nullptr) != 0) {
      return absl::UnavailableError(absl::StrCat("ptrace is refused: ", std::strerror(errno)));
    }
    wedge->threads_.push_back(thread);
    ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr);
    waitpid(thread, nullptr, __WALL);
  }
  if (wedge->threads_.empty()) return absl::UnavailableError("it has no computing thread to stop");
  return wedge;
}

Wedge::~Wedge() {
  for (const pid_t thread : threads_) {
    // A dead one must be reaped by its tracer, or its process would never be gone.
    if (ptrace(PTRACE_DETACH, thread, nullptr, nullptr) != 0) waitpid(thread, nullptr, __WALL);
  }
}

}  // namespace conclave::torture
