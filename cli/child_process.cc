#include "cli/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/edge/clock.h"

namespace conclave {
namespace {

constexpr std::size_t kLineBytesMax = 4096;

// Between fork and exec of a process with threads only plain system calls are allowed.
[[noreturn]] void BecomeChild(const char* program, char** arguments, char** environment,
                              int nothing, int errors, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);  // the parent died before the line above
  setpgid(0, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  dup2(nothing, 0);
  dup2(errors, 1);
  dup2(errors, 2);
  execve(program, arguments, environment);
  _exit(127);
}

std::vector<char*> Pointers(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> CleanEnvironment() {
  std::vector<std::string> entries;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (!absl::StartsWith(*entry, "CONCLAVE_")) entries.emplace_back(*entry);
  }
  return entries;
}

}  // namespace

std::string ProgramBesideThis(const std::string& name) {
  char path[4096];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof(path));
  const std::string self(path, length > 0 ? static_cast<std::size_t>(length) : 0);
  return absl::StrCat(self.substr(0, self.rfind('/') + 1), name);
}

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(
    const std::vector<std::string>& arguments, LineFn on_line) {
  if (access(arguments[0].c_str(), X_OK) != 0) {
    return absl::NotFoundError(
        absl::StrCat("cannot run ", arguments[0], ": ", std::strerror(errno)));
  }
  std::vector<std::string> words = arguments;
  std::vector<std::string> environment = CleanEnvironment();
  const std::vector<char*> word_pointers = Pointers(words);
  const std::vector<char*> environment_pointers = Pointers(environment);
  int ends[2];
  const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (nothing < 0 || pipe2(ends, O_CLOEXEC) != 0) {
    if (nothing >= 0) close(nothing);
    return absl::ResourceExhaustedError(absl::StrCat("no pipe: ", std::strerror(errno)));
  }
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) {
    BecomeChild(words[0].c_str(), const_cast<char**>(word_pointers.data()),
                const_cast<char**>(environment_pointers.data()), nothing, ends[1], parent);
  }
  close(nothing);
  close(ends[1]);
  if (pid < 0) {
    close(ends[0]);
    return absl::ResourceExhaustedError(absl::StrCat("no process: ", std::strerror(errno)));
  }
  return std::unique_ptr<ChildProcess>(new ChildProcess(pid, ends[0], std::move(on_line)));
}

ChildProcess::ChildProcess(pid_t pid, int lines, LineFn on_line)
    : pid_(pid), on_line_(std::move(on_line)), reader_([this, lines] { ReadLines(lines); }) {}

ChildProcess::~ChildProcess() {
  if (!reaped_) {
    kill(pid_, SIGKILL);
    waitpid(pid_, &wait_status_, 0);
  }
  if (reader_.joinable()) reader_.join();
}

void ChildProcess::ReadLines(int lines) {
  std::string line;
  char bytes[4096];
  for (;;) {
    const ssize_t got = read(lines, bytes, sizeof(bytes));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    for (const char c : std::string_view(bytes, static_cast<std::size_t>(got))) {
      if (c != '\n' && line.size() < kLineBytesMax) {
        line += c;
        continue;
      }
      {
        std::lock_guard lock(mutex_);
        last_line_ = line;
      }
      on_line_(line);
      line.clear();
    }
  }
  close(lines);
}

bool ChildProcess::Alive() {
  if (!reaped_) reaped_ = waitpid(pid_, &wait_status_, WNOHANG) == pid_;
  return !reaped_;
}

bool ChildProcess::EndedWell() const {
  return WIFEXITED(wait_status_) && WEXITSTATUS(wait_status_) == 0;
}

std::string ChildProcess::Epitaph() {
  if (WIFSIGNALED(wait_status_)) {
    return absl::StrCat("was ended by signal ", WTERMSIG(wait_status_));
  }
  const std::string how = absl::StrCat("exited with code ", WEXITSTATUS(wait_status_));
  if (reader_.joinable()) reader_.join();  // its last words may still be on their way
  std::lock_guard lock(mutex_);
  return last_line_.empty() ? how : absl::StrCat(how, ": ", last_line_);
}

void ChildProcess::AskToEnd() {
  if (Alive()) kill(pid_, SIGTERM);
}

bool ChildProcess::WaitForEnd(Micros timeout) {
  const Micros until = SteadyMicros() + timeout;
  while (Alive() && SteadyMicros() < until) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return !Alive();
}

}  // namespace conclave
