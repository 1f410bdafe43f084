#include "cli/interrupt.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <utility>

#include "base/check.h"
#include "base/edge/clock.h"

namespace conclave {
namespace {

std::atomic<int> g_count{0};  // what a signal handler may touch
std::atomic<bool> g_end{false};
int g_pipe[2] = {-1, -1};  // a byte per signal, so that poll() wakes

void Count(int signal) {
  if (signal == SIGTERM) g_end.store(true);
  const int saved = errno;
  g_count.fetch_add(1);
  const char byte = 0;
  [[maybe_unused]] const ssize_t written = write(g_pipe[1], &byte, 1);
  errno = saved;
}

}  // namespace

void WatchInterrupts() {
  if (g_pipe[0] >= 0) return;
  CONCLAVE_CHECK(pipe2(g_pipe, O_CLOEXEC | O_NONBLOCK) == 0, "no pipe: %d", errno);
  struct sigaction action = {};
  action.sa_handler = Count;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

int Interrupts() { return g_count.load(); }
bool EndAsked() { return g_end.load(); }
bool HurryAsked() { return g_count.load() > 1; }

void ForgetInterrupts() {
  char bytes[64];
  while (g_pipe[0] >= 0 && read(g_pipe[0], bytes, sizeof(bytes)) > 0) {
  }
  g_count.store(0);
}

bool WaitForInterrupt(Micros timeout) {
  const Micros until = SteadyMicros() + timeout;
  while (Interrupts() == 0) {
    const Micros left = until - SteadyMicros();
    if (left <= 0) return false;
    pollfd entry = {.fd = g_pipe[0], .events = POLLIN, .revents = 0};
    poll(&entry, 1, static_cast<int>(left / 1000) + 1);
  }
  return true;
}

OnInterrupt::OnInterrupt(std::function<void()> then) {
  CONCLAVE_CHECK(pipe2(ends_, O_CLOEXEC) == 0, "no pipe: %d", errno);
  thread_ = std::thread([this, then = std::move(then)] {
    // The byte stays in the pipe: others may wait for it, too.
    pollfd entries[2] = {{.fd = g_pipe[0], .events = POLLIN, .revents = 0},
                         {.fd = ends_[0], .events = POLLIN, .revents = 0}};
    while (Interrupts() == 0 && entries[1].revents == 0) poll(entries, 2, -1);
    if (Interrupts() > 0) then();
  });
}

OnInterrupt::~OnInterrupt() {
  close(ends_[1]);
  thread_.join();
  close(ends_[0]);
}

}  // namespace conclave
