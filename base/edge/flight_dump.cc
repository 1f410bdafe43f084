#include "base/edge/flight_dump.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace conclave {
namespace {

struct Fatal {
  int signal;
  std::string_view name;
};
constexpr Fatal kFatal[] = {{SIGABRT, "SIGABRT"},
                            {SIGSEGV, "SIGSEGV"},
                            {SIGBUS, "SIGBUS"},
                            {SIGFPE, "SIGFPE"},
                            {SIGILL, "SIGILL"}};

// What a signal handler may use: plain memory, written before the handlers are installed.
struct Plan {
  std::array<char, 4096> path{};  // empty: standard error
  std::array<const FlightRecorder*, FlightDump::kRecordersMax> recorders{};
  std::size_t count = 0;
};
Plan g_plan;
std::atomic<bool> g_installed{false};
std::atomic<bool> g_dying{false};
struct sigaction g_before[std::size(kFatal) + 1];

void WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = write(fd, text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(put));
  }
}

// Many short lines, written in few calls.
class Writer {
 public:
  explicit Writer(int fd) : fd_(fd) {}
  ~Writer() { Flush(); }
  void Put(std::string_view text) {
    if (used_ + text.size() > bytes_.size()) Flush();
    text = text.substr(0, bytes_.size());
    std::memcpy(bytes_.data() + used_, text.data(), text.size());
    used_ += text.size();
  }

 private:
  void Flush() { WriteAll(fd_, {bytes_.data(), used_}), used_ = 0; }
  const int fd_;
  std::size_t used_ = 0;
  std::array<char, 4096> bytes_;
};

// Async-signal-safe.
void Write(std::string_view why) {
  const bool to_file = g_plan.path[0] != '\0';
  const int fd = to_file ? open(g_plan.path.data(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)
                         : STDERR_FILENO;
  if (fd < 0) return;
  {
    Writer writer(fd);
    for (std::size_t i = 0; i < g_plan.count; ++i) {
      const FlightRecorder& recorder = *g_plan.recorders[i];
      writer.Put("# flight recorder of ");
      writer.Put(recorder.name());
      writer.Put(": ");
      writer.Put(why);
      writer.Put("\n");
      const std::size_t lines =
          to_file ? FlightRecorder::kDecisions + FlightRecorder::kWork : FlightDump::kLinesToError;
      recorder.EachLine(lines, [&](std::string_view line) { writer.Put(line); });
    }
  }
  if (to_file) close(fd);
}

void OnAsked(int) {
  const int saved = errno;
  Write("asked for (SIGUSR1)");
  errno = saved;
}

void OnFatal(int signal) {
  // A second thread that fails, or a failure in here, must not begin again.
  if (!g_dying.exchange(true)) {
    for (const Fatal& fatal : kFatal) {
      if (fatal.signal == signal) Write(fatal.name);
    }
  }
  ::signal(signal, SIG_DFL);
  raise(signal);
}

void Handle(int signal, void (*handler)(int), struct sigaction* before) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  sigaction(signal, &action, before);
}

}  // namespace

absl::StatusOr<std::unique_ptr<FlightDump>> FlightDump::Install(const Options& options) {
  Plan plan;
  CONCLAVE_CHECK(options.recorders.size() <= kRecordersMax, "%zu", options.recorders.size());
  std::ranges::copy(options.recorders, plan.recorders.begin());
  plan.count = options.recorders.size();
  if (!options.directory.empty()) {
    const std::string path =
        absl::StrCat(options.directory, "/conclave-", options.name, "-", getpid(), ".flight");
    if (access(options.directory.c_str(), W_OK | X_OK) != 0 || path.size() >= plan.path.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--flight-recorder-dir ", options.directory, ": ", std::strerror(errno)));
    }
    std::ranges::copy(path, plan.path.begin());
  }
  CONCLAVE_CHECK(!g_installed.exchange(true), "a second flight dump in this process");
  g_plan = plan;
  for (std::size_t i = 0; i < std::size(kFatal); ++i) {
    Handle(kFatal[i].signal, OnFatal, &g_before[i]);
  }
  Handle(SIGUSR1, OnAsked, &g_before[std::size(kFatal)]);
  return std::unique_ptr<FlightDump>(new FlightDump);
}

FlightDump::~FlightDump() {
  for (std::size_t i = 0; i < std::size(kFatal); ++i) {
    sigaction(kFatal[i].signal, &g_before[i], nullptr);
  }
  // SIGUSR1 stays ignored: its default action would end a process that is about to end by itself.
  signal(SIGUSR1, SIG_IGN);
  g_plan.count = 0;
  g_installed = false;
}

void FlightDump::Failed(std::string_view why) const {
  if (g_plan.path[0] != '\0') Write(why);
}

}  // namespace conclave
