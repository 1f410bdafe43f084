#include "exchange/backend/net_devices.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace conclave {
namespace {

struct NumericAddress {
  int family = AF_INET;
  in_addr v4{};
  in6_addr v6{};

  bool any() const {
    return family == AF_INET ? v4.s_addr == INADDR_ANY : IN6_IS_ADDR_UNSPECIFIED(&v6);
  }
  bool Matches(const sockaddr& other) const {
    if (other.sa_family != family) return false;
    if (family == AF_INET) {
      return reinterpret_cast<const sockaddr_in&>(other).sin_addr.s_addr == v4.s_addr;
    }
    return std::memcmp(&reinterpret_cast<const sockaddr_in6&>(other).sin6_addr, &v6, sizeof v6) ==
           0;
  }
};

absl::StatusOr<NumericAddress> Parse(std::string_view text) {
  if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
  const std::string host(text);
  NumericAddress address;
  if (inet_pton(AF_INET, host.c_str(), &address.v4) == 1) return address;
  address.family = AF_INET6;
  if (inet_pton(AF_INET6, host.c_str(), &address.v6) == 1) return address;
  return absl::InvalidArgumentError(absl::StrCat("'", host, "' is not a numeric IP address"));
}

// Empty: no interface that is up has this address. An address of the loopback network counts as
// the loopback interface's, although only 127.0.0.1 is listed there.
absl::StatusOr<std::string> InterfaceWith(const NumericAddress& address) {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) {
    return absl::UnavailableError(absl::StrCat("listing interfaces: ", std::strerror(errno)));
  }
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(list, freeifaddrs);
  const bool loopback = address.family == AF_INET && ntohl(address.v4.s_addr) >> 24 == 127;
  for (const ifaddrs* each = list; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr || (each->ifa_flags & IFF_UP) == 0) continue;
    if (address.Matches(*each->ifa_addr)) return std::string(each->ifa_name);
    if (loopback && (each->ifa_flags & IFF_LOOPBACK) != 0) return std::string(each->ifa_name);
  }
  return std::string();
}

// "mlx5_0:1" for every RDMA port whose network device is `interface`; sorted.
std::vector<std::string> RdmaPortsOf(const std::string& interface) {
  namespace fs = std::filesystem;
  std::vector<std::string> ports;
  std::error_code none;
  for (const fs::directory_entry& device : fs::directory_iterator("/sys/class/infiniband", none)) {
    for (const fs::directory_entry& port : fs::directory_iterator(device.path() / "ports", none)) {
      std::ifstream file(port.path() / "gid_attrs" / "ndevs" / "0");
      std::string network;
      if (!(file >> network) || network != interface) continue;
      ports.push_back(
          absl::StrCat(device.path().filename().string(), ":", port.path().filename().string()));
    }
  }
  std::ranges::sort(ports);
  return ports;
}

}  // namespace

absl::StatusOr<std::string> NetDevicesAt(const std::string& address) {
  ASSIGN_OR_RETURN(const NumericAddress numeric, Parse(address));
  if (numeric.any()) return std::string();
  ASSIGN_OR_RETURN(std::string devices, InterfaceWith(numeric));
  if (devices.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("no interface of this machine that is up has the address ", address));
  }
  for (const std::string& port : RdmaPortsOf(devices)) absl::StrAppend(&devices, ",", port);
  return devices;
}

}  // namespace conclave
