#include "bench/exchange_participants.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "exchange/backends.h"

namespace conclave {
namespace {

using Clock = std::chrono::steady_clock;
using Times = std::vector<std::vector<double>>;
constexpr Micros kPatience = 30 * 1000 * 1000;
constexpr std::align_val_t kAlignment{64};

struct Free {
  void operator()(std::byte* p) const { ::operator delete(p, kAlignment); }
};
using Buffer = std::unique_ptr<std::byte, Free>;

Buffer NewBuffer(std::size_t bytes) {
  Buffer buffer(static_cast<std::byte*>(::operator new(bytes, kAlignment)));
  std::fill_n(buffer.get(), bytes, std::byte{1});  // touched, so that no page fault is timed
  return buffer;
}

// One buffer per slot; what an exchange leaves there, the next overwrites.
class BenchSink final : public FrameSink {
 public:
  BenchSink(int participants, std::size_t bytes_max) : bytes_max_(bytes_max) {
    for (int i = 0; i < participants; ++i) buffers_.push_back(NewBuffer(bytes_max));
  }
  std::span<std::byte> Reserve(Slot from, std::size_t bytes) override {
    if (bytes > bytes_max_) return {};
    return {buffers_[static_cast<std::size_t>(from.value)].get(), bytes};
  }

 private:
  std::size_t bytes_max_;
  std::vector<Buffer> buffers_;
};

absl::StatusOr<Times> Participate(ExchangeBackend& backend, Slot self,
                                  const std::vector<Peer>& peers, const ExchangeBenchAsk& ask) {
  RETURN_IF_ERROR(backend.Open({.epoch = Epoch(1, 1), .self = self, .peers = peers}, kPatience));
  const std::size_t bytes_max = *std::ranges::max_element(ask.sizes);
  BenchSink sink(ask.participants, bytes_max);
  std::vector<Buffer> outgoing;
  for (int i = 0; i < ask.participants; ++i) outgoing.push_back(NewBuffer(bytes_max));
  const int warm_up = 3 + std::min(ask.repeats / 10, 100);
  Times times;
  for (const std::size_t bytes : ask.sizes) {
    std::vector<OutFrame> sends;
    for (const Peer& peer : peers) {
      if (peer.slot == self) continue;
      sends.push_back(
          {peer.slot, {outgoing[static_cast<std::size_t>(peer.slot.value)].get(), bytes}});
    }
    std::vector<double>& micros = times.emplace_back();
    micros.reserve(static_cast<std::size_t>(ask.repeats));
    for (int i = -warm_up; i < ask.repeats; ++i) {
      const Clock::time_point begin = Clock::now();
      RETURN_IF_ERROR(backend.Exchange(sends, sink, kPatience));
      const std::chrono::duration<double, std::micro> took = Clock::now() - begin;
      if (i >= 0) micros.push_back(took.count());
    }
  }
  return times;
}

bool WriteAll(int fd, const void* data, std::size_t bytes) {
  for (const char* p = static_cast<const char*>(data); bytes != 0;) {
    const ssize_t wrote = send(fd, p, bytes, MSG_NOSIGNAL);
    if (wrote <= 0) return false;
    p += wrote;
    bytes -= static_cast<std::size_t>(wrote);
  }
  return true;
}

bool ReadAll(int fd, void* data, std::size_t bytes) {
  for (char* p = static_cast<char*>(data); bytes != 0;) {
    const ssize_t got = read(fd, p, bytes);
    if (got <= 0) return false;
    p += got;
    bytes -= static_cast<std::size_t>(got);
  }
  return true;
}

// What goes through the sockets: a length, then that many bytes.
bool Put(int fd, std::string_view blob) {
  const std::uint64_t bytes = blob.size();
  return WriteAll(fd, &bytes, sizeof bytes) && WriteAll(fd, blob.data(), blob.size());
}

bool Get(int fd, std::string& blob) {
  std::uint64_t bytes = 0;
  if (!ReadAll(fd, &bytes, sizeof bytes)) return false;
  blob.resize(bytes);
  return ReadAll(fd, blob.data(), blob.size());
}

// A participant's life in its own process: "" or what is wrong, its address; then, once it has
// everybody's, the same again and its times.
absl::StatusOr<Times> LiveAsChild(int parent, Slot self, const ExchangeBenchAsk& ask) {
  ASSIGN_OR_RETURN(const std::unique_ptr<ExchangeBackend> backend,
                   NewUcxBackend({.transports = ask.transports}));
  ASSIGN_OR_RETURN(const std::string address, backend->StandbyAddress());
  Put(parent, "");
  Put(parent, address);
  std::vector<Peer> peers;
  for (int i = 0; i < ask.participants; ++i) {
    peers.push_back({.slot = Slot{i}, .address = ""});
    if (!Get(parent, peers.back().address)) return absl::AbortedError("the parent is gone");
  }
  return Participate(*backend, self, peers, ask);
}

[[noreturn]] void RunChild(int parent, Slot self, const ExchangeBenchAsk& ask) {
  const absl::StatusOr<Times> times = LiveAsChild(parent, self, ask);
  Put(parent, times.ok() ? "" : times.status().ToString());
  if (times.ok() && self.value == 0) {
    for (const std::vector<double>& micros : *times) {
      WriteAll(parent, micros.data(), micros.size() * sizeof(double));
    }
  }
  _exit(times.ok() ? 0 : 1);
}

struct Child {
  pid_t pid = -1;
  int socket = -1;
};

// Ends what still runs when the benchmark ends early, and reaps everybody.
class Children {
 public:
  ~Children() {
    for (const Child& child : all_) {
      kill(child.pid, SIGKILL);
      close(child.socket);
      waitpid(child.pid, nullptr, 0);
    }
  }
  const std::vector<Child>& all() const { return all_; }

  absl::Status Start(Slot self, const ExchangeBenchAsk& ask) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) {
      return absl::ResourceExhaustedError("no more sockets");
    }
    const pid_t pid = fork();
    if (pid == 0) {
      // Copies of the others' sockets would keep those from ending.
      for (const Child& child : all_) close(child.socket);
      close(ends[0]);
      RunChild(ends[1], self, ask);
    }
    close(ends[1]);
    if (pid < 0) {
      close(ends[0]);
      return absl::ResourceExhaustedError("no more processes");
    }
    all_.push_back({pid, ends[0]});
    return absl::OkStatus();
  }

  // A child's word on how it is: "" is well.
  absl::Status Ask(std::size_t i) const {
    std::string verdict;
    if (!Get(all_[i].socket, verdict)) verdict = "ended early";
    if (verdict.empty()) return absl::OkStatus();
    return absl::UnavailableError(absl::StrCat("participant ", i, ": ", verdict));
  }

  absl::Status Introduce() const {
    std::vector<std::string> addresses(all_.size());
    for (std::size_t i = 0; i < all_.size(); ++i) {
      RETURN_IF_ERROR(Ask(i));
      if (!Get(all_[i].socket, addresses[i])) return absl::UnavailableError("no address came");
    }
    for (const Child& child : all_) {
      for (const std::string& address : addresses) Put(child.socket, address);
    }
    return absl::OkStatus();
  }

 private:
  std::vector<Child> all_;
};

}  // namespace

absl::StatusOr<Times> TimeAmongProcesses(const ExchangeBenchAsk& ask) {
  Children children;
  for (int i = 0; i < ask.participants; ++i) RETURN_IF_ERROR(children.Start(Slot{i}, ask));
  RETURN_IF_ERROR(children.Introduce());
  Times times(ask.sizes.size(), std::vector<double>(static_cast<std::size_t>(ask.repeats)));
  for (std::size_t i = 0; i < children.all().size(); ++i) {
    RETURN_IF_ERROR(children.Ask(i));
    if (i != 0) continue;
    for (std::vector<double>& micros : times) {
      if (!ReadAll(children.all()[0].socket, micros.data(), micros.size() * sizeof(double))) {
        return absl::UnavailableError("participant 0: its times did not come");
      }
    }
  }
  return times;
}

absl::StatusOr<Times> TimeAmongThreads(const ExchangeBenchAsk& ask) {
  LocalHub hub;
  std::vector<std::unique_ptr<ExchangeBackend>> backends;
  std::vector<Peer> peers;
  for (int i = 0; i < ask.participants; ++i) {
    backends.push_back(hub.NewBackend());
    ASSIGN_OR_RETURN(std::string address, backends.back()->StandbyAddress());
    peers.push_back({.slot = Slot{i}, .address = std::move(address)});
  }
  std::vector<absl::StatusOr<Times>> results(backends.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < backends.size(); ++i) {
    threads.emplace_back(
        [&, i] { results[i] = Participate(*backends[i], peers[i].slot, peers, ask); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::StatusOr<Times>& result : results) RETURN_IF_ERROR(result.status());
  return std::move(results[0]);
}

}  // namespace conclave
