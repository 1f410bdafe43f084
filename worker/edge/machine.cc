#include "worker/edge/machine.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <random>

#include "absl/strings/str_cat.h"

namespace conclave {

std::uint64_t AvailableMemoryBytes() {
  std::ifstream file("/proc/meminfo");
  std::string key, unit;
  std::uint64_t kilobytes = 0;
  while (file >> key >> kilobytes) {
    if (key == "MemAvailable:") return kilobytes * 1024;
    std::getline(file, unit);
  }
  return 0;
}

std::uint64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

int CoresHere() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

std::string HostAndPid() {
  std::array<char, 256> host = {};
  gethostname(host.data(), host.size() - 1);
  return absl::StrCat(host.data(), ":", getpid());
}

std::string NewUuid() {
  std::random_device device;
  const auto word = [&device] { return device(); };
  const std::uint32_t a = word(), b = word(), c = word(), d = word();
  return absl::StrCat(absl::Hex(a, absl::kZeroPad8), "-", absl::Hex(b >> 16, absl::kZeroPad4), "-4",
                      absl::Hex(b & 0xfff, absl::kZeroPad3), "-",
                      absl::Hex((c >> 16 & 0x3fff) | 0x8000, absl::kZeroPad4), "-",
                      absl::Hex(c & 0xffff, absl::kZeroPad4), absl::Hex(d, absl::kZeroPad8));
}

}  // namespace conclave
