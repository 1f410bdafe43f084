#include "worker/edge/threads.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace conclave {
namespace {

constexpr std::size_t kNameBytesMax = 15;
constexpr int kLowest = 19;

}  // namespace

void NameThisThread(const std::string& name) {
  pthread_setname_np(pthread_self(), name.substr(0, kNameBytesMax).c_str());
}

void LowerThisThread() {
  // On Linux this is the thread's own, whatever POSIX says of processes. Failing costs speed only.
  setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), kLowest);
}

}  // namespace conclave
