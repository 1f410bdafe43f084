// A peer whose machine answers nothing: packets to it are dropped, as behind a broken switch.
#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "exchange/backends.h"
#include "gtest/gtest.h"

namespace conclave {
namespace {

// A TCP port on loopback at which no connection ever comes about: its queue is full, and the kernel
// drops what knocks.
class BlackHole {
 public:
  BlackHole() : listener_(Socket()) {
    sockaddr_in address{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(bind(listener_, any, size), 0);
    EXPECT_EQ(listen(listener_, 0), 0);
    EXPECT_EQ(getsockname(listener_, any, &size), 0);
    port_ = address.sin_port;
    for (int i = 0; i < 4; ++i) {
      callers_.push_back(Socket());
      fcntl(callers_.back(), F_SETFL, O_NONBLOCK);
      static_cast<void>(connect(callers_.back(), any, size));
    }
  }
  ~BlackHole() {
    close(listener_);
    for (const int caller : callers_) close(caller);
  }
  in_port_t port() const { return port_; }  // network order

 private:
  static int Socket() { return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); }
  int listener_;
  in_port_t port_ = 0;
  std::vector<int> callers_;
};

in_port_t PortOf(int fd) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  int listens = 0;
  socklen_t flag = sizeof listens;
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &flag) != 0 || listens == 0) return 0;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  return address.sin_port;
}

// The address of a peer that is there, with every port that it listens on replaced by this one.
std::string Redirected(std::string address, in_port_t to) {
  int replaced = 0;
  for (int fd = 0; fd < 1024; ++fd) {
    const in_port_t port = PortOf(fd);
    if (port == 0 || port == to) continue;
    const std::string bytes(reinterpret_cast<const char*>(&port), sizeof port);
    for (auto at = address.find(bytes); at != std::string::npos; at = address.find(bytes, at + 1)) {
      std::memcpy(address.data() + at, &to, sizeof to);
      ++replaced;
    }
  }
  EXPECT_GT(replaced, 0) << "the address has no port in it: this test shows nothing";
  return address;
}

// The kernel alone would try for two minutes. Whoever opened the epoch is told which peer it was.
TEST(ExchangeUnreachable, APeerThatAnswersNothingIsGivenUpByName) {
  const BlackHole hole;
  const auto caller = NewUcxBackend({.transports = "tcp"});
  const auto peer = NewUcxBackend({.transports = "tcp"});
  ASSERT_TRUE(caller.ok() && peer.ok());
  const std::string own = (*caller)->StandbyAddress().value();
  const std::string gone = Redirected((*peer)->StandbyAddress().value(), hole.port());
  const EpochView view{
      .epoch = Epoch(1, 1), .self = Slot{0}, .peers = {{Slot{0}, own}, {Slot{1}, gone}}};
  const absl::Status opened = (*caller)->Open(view, 10'000'000);
  EXPECT_EQ(opened.code(), absl::StatusCode::kUnavailable) << opened;
  EXPECT_TRUE(PeersOf(opened).Has(Slot{1}));
  EXPECT_EQ(PeersOf(opened).size(), 1);
}

}  // namespace
}  // namespace conclave
