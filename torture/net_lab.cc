#include "torture/net_lab.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/status.h"
#include "cli/child_process.h"

namespace conclave::torture {
namespace {

constexpr const char* kPrefix = "10.77.0.";
constexpr Micros kIpLimit = 10'000'000;
constexpr const char* kNobody = "02:00:00:00:00:99";  // no interface has this address

int OpenOwnNamespace() { return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC); }

absl::Status LastError(const std::string& what) {
  return absl::UnavailableError(absl::StrCat(what, ": ", std::strerror(errno)));
}

std::string FindIp() {
  for (const char* path : {"/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip", "/bin/ip"}) {
    if (access(path, X_OK) == 0) return path;
  }
  return "";
}

}  // namespace

absl::StatusOr<std::unique_ptr<NetLab>> NetLab::Start(int places) {
  std::unique_ptr<NetLab> lab(new NetLab);
  if (geteuid() != 0) return absl::UnavailableError("namespaces need root");
  lab->ip_ = FindIp();
  if (lab->ip_.empty()) return absl::UnavailableError("there is no program `ip` here");
  RETURN_IF_ERROR(lab->AddBridge());
  for (int i = 0; i < places; ++i) RETURN_IF_ERROR(lab->AddPlace());
  // Loopback would be offered to peers that have another one.
  setenv("UCX_NET_DEVICES", "eth0", 1);
  return lab;
}

NetLab::~NetLab() {
  for (const int place : places_) close(place);
  if (home_ >= 0) close(home_);
}

absl::Status NetLab::Ip(const std::vector<std::string>& words) const {
  std::vector<std::string> arguments = {ip_};
  arguments.insert(arguments.end(), words.begin(), words.end());
  ASSIGN_OR_RETURN(const auto child, ChildProcess::Start(arguments, [](std::string_view) {}));
  if (!child->WaitForEnd(kIpLimit)) return absl::UnavailableError("`ip` does not end");
  const std::string epitaph = child->Epitaph();
  if (epitaph == "exited with code 0") return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("ip ", absl::StrJoin(words, " "), " ", epitaph));
}

absl::Status NetLab::AddBridge() {
  if (unshare(CLONE_NEWNET) != 0) return LastError("cannot make a network namespace");
  home_ = OpenOwnNamespace();
  if (home_ < 0) return LastError("cannot open a network namespace");
  RETURN_IF_ERROR(Ip({"link", "set", "lo", "up"}));
  RETURN_IF_ERROR(Ip({"link", "add", "br0", "type", "bridge"}));
  RETURN_IF_ERROR(Ip({"addr", "add", absl::StrCat(CoordinatorHost(), "/24"), "dev", "br0"}));
  return Ip({"link", "set", "br0", "up"});
}

absl::Status NetLab::AddPlace() {
  const int place = static_cast<int>(places_.size());
  if (unshare(CLONE_NEWNET) != 0) return LastError("cannot make a network namespace");
  const int fd = OpenOwnNamespace();
  CONCLAVE_CHECK(setns(home_, CLONE_NEWNET) == 0, "cannot return to the bridge: %d", errno);
  if (fd < 0) return LastError("cannot open a network namespace");
  places_.push_back(fd);
  const std::string veth = absl::StrCat("veth", place);
  const std::string path = absl::StrCat("/proc/", getpid(), "/fd/", fd);
  RETURN_IF_ERROR(Ip({"link", "add", veth, "type", "veth", "peer", "name", "eth0", "netns", path}));
  RETURN_IF_ERROR(Ip({"link", "set", veth, "master", "br0", "up"}));
  const Inside inside(*this, place);
  RETURN_IF_ERROR(Ip({"link", "set", "lo", "up"}));
  RETURN_IF_ERROR(Ip({"addr", "add", absl::StrCat(Host(place), "/24"), "dev", "eth0"}));
  return Ip({"link", "set", "eth0", "up"});
}

std::string NetLab::CoordinatorHost() const { return absl::StrCat(kPrefix, 1); }
std::string NetLab::Host(int place) const { return absl::StrCat(kPrefix, 10 + place); }

NetLab::Inside::Inside(const NetLab& lab, int place) : lab_(lab) {
  const int fd = lab.places_[static_cast<std::size_t>(place)];
  CONCLAVE_CHECK(setns(fd, CLONE_NEWNET) == 0, "cannot enter a namespace: %d", errno);
}

NetLab::Inside::~Inside() {
  CONCLAVE_CHECK(setns(lab_.home_, CLONE_NEWNET) == 0, "cannot return to the bridge: %d", errno);
}

absl::Status NetLab::CutAll(int place) {
  return Ip({"link", "set", absl::StrCat("veth", place), "down"});
}

absl::Status NetLab::HealAll(int place) {
  return Ip({"link", "set", absl::StrCat("veth", place), "up"});
}

absl::Status NetLab::CutTowards(int place, const std::string& host) {
  const Inside inside(*this, place);
  return Ip({"neigh", "replace", host, "lladdr", kNobody, "nud", "permanent", "dev", "eth0"});
}

absl::Status NetLab::HealTowards(int place, const std::string& host) {
  const Inside inside(*this, place);
  return Ip({"neigh", "del", host, "dev", "eth0"});
}

}  // namespace conclave::torture
