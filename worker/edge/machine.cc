#include "worker/edge/machine.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <limits>
#include <random>

#include "absl/strings/str_cat.h"

namespace conclave {
namespace {

constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();

// The folder of this process's control group, version 2: "0::/PATH" says which.
std::string OwnGroup() {
  std::ifstream file("/proc/self/cgroup");
  std::string line;
  while (std::getline(file, line)) {
    if (line.starts_with("0::")) return "/sys/fs/cgroup" + line.substr(3);
  }
  return "/sys/fs/cgroup";
}

}  // namespace

std::uint64_t MemoryLeftInGroup(const std::string& folder) {
  std::uint64_t most = 0, used = 0;
  if (!(std::ifstream(folder + "/memory.max") >> most)) return kUnlimited;  // "max", or no group
  if (!(std::ifstream(folder + "/memory.current") >> used)) return kUnlimited;
  std::ifstream stat(folder + "/memory.stat");
  std::string key;
  for (std::uint64_t bytes = 0; stat >> key >> bytes;) {
    // Pages of files are given up before anybody is killed.
    if (key == "inactive_file" || key == "active_file") used -= std::min(used, bytes);
  }
  return most - std::min(most, used);
}

std::uint64_t AvailableMemoryBytes() {
  std::ifstream file("/proc/meminfo");
  std::string key, unit;
  std::uint64_t kilobytes = 0;
  while (file >> key >> kilobytes) {
    if (key == "MemAvailable:") return std::min(kilobytes * 1024, MemoryLeftInGroup(OwnGroup()));
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
