#include "cli/signals.h"

#include <atomic>
#include <csignal>

namespace conclave {
namespace {

// The only process-wide state there is: a signal handler has no context to find.
std::atomic<int> first{0};
std::atomic<int> count{0};
static_assert(std::atomic<int>::is_always_lock_free, "a handler may use nothing that locks");

void OnSignal(int signal) {
  int none = 0;
  first.compare_exchange_strong(none, signal);
  count.fetch_add(1);
}

}  // namespace

void CatchSignals() {
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

int SignalSeen() { return first.load(); }
bool InHurry() { return count.load() > 1; }

}  // namespace conclave
