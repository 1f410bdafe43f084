// Where the UCX backend listens: on the interface that was asked for, and nowhere else.
#include <arpa/inet.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "exchange/backend/net_devices.h"
#include "exchange/backends.h"
#include "gtest/gtest.h"

namespace conclave {
namespace {

// "socket:[12345]" for every socket this process has open.
std::set<std::string> OwnSockets() {
  std::set<std::string> inodes;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    char target[64] = {};
    const ssize_t bytes = readlink(entry.path().c_str(), target, sizeof target - 1);
    if (bytes > 0 && std::string(target).starts_with("socket:[")) inodes.insert(target);
  }
  return inodes;
}

// The local addresses of this process's listening TCP sockets, as the kernel's tables print them
// (hexadecimal, without the port).
std::multiset<std::string> ListensOn() {
  constexpr int kListening = 10;
  const std::set<std::string> own = OwnSockets();
  std::multiset<std::string> addresses;
  for (const char* table : {"/proc/self/net/tcp", "/proc/self/net/tcp6"}) {
    std::ifstream file(table);
    std::string line;
    std::getline(file, line);  // the column heads
    while (std::getline(file, line)) {
      std::istringstream words(line);
      std::string number, local, remote, state, word;
      words >> number >> local >> remote >> state;
      for (int i = 0; i < 6; ++i) words >> word;  // the last of them is the inode
      if (std::stoi(state, nullptr, 16) != kListening) continue;
      if (own.contains("socket:[" + word + "]")) addresses.insert(local.substr(0, local.find(':')));
    }
  }
  return addresses;
}

std::string KernelSpelling(const char* address) {
  in_addr parsed{};
  EXPECT_EQ(inet_pton(AF_INET, address, &parsed), 1);
  char text[16];
  std::snprintf(text, sizeof text, "%08X", static_cast<unsigned>(parsed.s_addr));
  return text;
}

TEST(ExchangeBind, ListensOnLoopbackOnlyUnlessToldOtherwise) {
  const std::multiset<std::string> before = ListensOn();
  const auto backend = NewUcxBackend({});
  ASSERT_TRUE(backend.ok()) << backend.status();
  ASSERT_TRUE((*backend)->StandbyAddress().ok());
  const std::multiset<std::string> after = ListensOn();
  ASSERT_GT(after.size(), before.size()) << "no listener was found: this test shows nothing";
  const std::string loopback = KernelSpelling("127.0.0.1");
  for (const std::string& address : after) EXPECT_EQ(address, loopback);
}

TEST(ExchangeBind, ATransportOfTheOperatorsChoiceIsBoundToo) {
  const auto backend = NewUcxBackend({.transports = "tcp"});
  ASSERT_TRUE(backend.ok()) << backend.status();
  for (const std::string& address : ListensOn()) EXPECT_EQ(address, KernelSpelling("127.0.0.1"));
}

TEST(ExchangeBind, AnAddressThatIsNotHereIsRefusedByName) {
  const auto backend = NewUcxBackend({.bind = "203.0.113.77"});
  ASSERT_FALSE(backend.ok());
  EXPECT_EQ(backend.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(backend.status().message().find("203.0.113.77"), std::string::npos);
}

TEST(NetDevices, NamesTheInterfaceOfAnAddress) {
  EXPECT_EQ(NetDevicesAt("127.0.0.1").value(), "lo");
  EXPECT_EQ(NetDevicesAt("127.0.0.42").value(), "lo");
  EXPECT_EQ(NetDevicesAt("0.0.0.0").value(), "");
  EXPECT_EQ(NetDevicesAt("[::]").value(), "");
}

TEST(NetDevices, TakesNumericAddressesOnly) {
  for (const char* text : {"", "localhost", "127.0.0.1:80", "1.2.3", "lo"}) {
    EXPECT_EQ(NetDevicesAt(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

}  // namespace
}  // namespace conclave
