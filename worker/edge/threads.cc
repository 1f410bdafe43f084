#include "worker/edge/threads.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace conclave {
namespace {

constexpr std::size_t kNameBytesMax = 15;
// Low, but not the lowest: the kernel's memory lock and the heap's are held now and then, and who is
// preempted with one of them at 19 does not run again for up to 200 ms while computing threads
// spin, which then wait for it (join under load: worst gap 113 to 198 ms; at 5 it is 25 to 49 ms).
constexpr int kLow = 5;
// Nobody waits for a lock of a process that does not serve yet: a tenth of a core, and it gets on.
constexpr int kVeryLow = 10;

void Lower(int nice) {
  // On Linux this is the thread's own, whatever POSIX says of processes. Failing costs speed only.
  setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), nice);
}

}  // namespace

void NameThisThread(const std::string& name) {
  pthread_setname_np(pthread_self(), name.substr(0, kNameBytesMax).c_str());
}

void LowerThisThread() { Lower(kLow); }
void LowerThisThreadMore() { Lower(kVeryLow); }

}  // namespace conclave
