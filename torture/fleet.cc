#include "torture/fleet.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/edge/clock.h"
#include "base/status.h"

namespace conclave::torture {
namespace {

constexpr Micros kListenLimit = 60'000'000;
constexpr int kFirstPort = 20'000;
constexpr int kPorts = 10'000;

bool IsFree(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(static_cast<std::uint16_t>(port));
  name.sin_addr.s_addr = htonl(INADDR_ANY);
  const bool free = bind(fd, reinterpret_cast<sockaddr*>(&name), sizeof name) == 0;
  close(fd);
  return free;
}

// Ports for a coordinator that comes back to them. Not of the range that the system takes for
// connections: a client that knocks at such a port while nobody listens could reach itself.
absl::StatusOr<std::vector<int>> FreePorts(int count) {
  std::vector<int> ports;
  const int start = static_cast<int>(getpid()) * 37 % kPorts;
  for (int i = 0; i < kPorts && static_cast<int>(ports.size()) < count; ++i) {
    const int port = kFirstPort + (start + i) % kPorts;
    if (IsFree(port)) ports.push_back(port);
  }
  if (static_cast<int>(ports.size()) < count) return absl::UnavailableError("no port is free");
  return ports;
}

}  // namespace

Fleet::Fleet(FleetOptions options, LogBook& book, NetLab* net)
    : options_(std::move(options)),
      book_(book),
      net_(net),
      workers_(static_cast<std::size_t>(options_.workers_max)) {}

std::string Fleet::Host() const { return net_ == nullptr ? "127.0.0.1" : net_->CoordinatorHost(); }

absl::Status Fleet::StartCoordinator(int workers) {
  if (address_.empty()) {
    ASSIGN_OR_RETURN(const std::vector<int> ports, FreePorts(3));
    address_ = absl::StrCat(Host(), ":", ports[0]);
    admin_ = absl::StrCat("127.0.0.1:", ports[1]);
    admin_http_ = absl::StrCat("127.0.0.1:", ports[2]);
  }
  std::vector<std::string> arguments = {
      absl::StrCat(options_.programs, "conclave-coordinator"),
      absl::StrCat("--model=", options_.model),
      absl::StrCat("--workers=", workers),
      absl::StrCat("--listen=", address_),
      absl::StrCat("--admin=", admin_),
      absl::StrCat("--admin-http=", admin_http_),
  };
  if (net_ != nullptr) arguments.push_back("--insecure");
  arguments.insert(arguments.end(), options_.coordinator_flags.begin(),
                   options_.coordinator_flags.end());
  auto listens = std::make_shared<std::atomic<bool>>(false);
  coordinator_.reset();
  ASSIGN_OR_RETURN(coordinator_,
                   ChildProcess::Start(arguments, [this, listens](std::string_view line) {
                     book_.Say("coordinator", line);
                     if (line.find("listening: ") != line.npos) *listens = true;
                   }));
  const Micros until = SteadyMicros() + kListenLimit;
  while (!*listens) {
    if (!coordinator_->Alive()) {
      return absl::UnavailableError(absl::StrCat("the coordinator ", coordinator_->Epitaph()));
    }
    if (SteadyMicros() > until)
      return absl::DeadlineExceededError("the coordinator never listened");
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return absl::OkStatus();
}

void Fleet::KillCoordinator() { coordinator_.reset(); }

std::vector<std::string> Fleet::WorkerArguments(const std::string& model) const {
  std::vector<std::string> arguments = {
      absl::StrCat(options_.programs, "conclave-worker"),
      absl::StrCat("--coordinator=", address_),
      absl::StrCat("--model=", model),
      absl::StrCat("--threads=", options_.threads),
      absl::StrCat("--kv-memory=", options_.kv_memory),
      absl::StrCat("--exchange=", options_.exchange),
  };
  const std::string transports = net_ == nullptr ? options_.ucx_transports : "tcp";
  if (!transports.empty()) arguments.push_back(absl::StrCat("--ucx-transports=", transports));
  if (net_ != nullptr) arguments.push_back("--insecure");
  arguments.insert(arguments.end(), options_.worker_flags.begin(), options_.worker_flags.end());
  return arguments;
}

absl::Status Fleet::StartWorker(int place) {
  std::vector<std::string> arguments = WorkerArguments(options_.model);
  arguments.push_back(absl::StrCat("--kv-dtype=", options_.kv_dtype));
  arguments.push_back(absl::StrCat("--kernels=", options_.kernels));
  const std::string name = absl::StrCat("worker ", place);
  std::optional<NetLab::Inside> inside;
  if (net_ != nullptr) inside.emplace(*net_, place);
  ASSIGN_OR_RETURN(Slot(place), ChildProcess::Start(arguments, [this, name](std::string_view line) {
                     book_.Say(name, line);
                   }));
  return absl::OkStatus();
}

std::string Fleet::Bury(int place) {
  std::string epitaph = Slot(place)->Epitaph();
  Slot(place).reset();
  return epitaph;
}

void Fleet::Signal(int place, int signal) {
  if (Slot(place) != nullptr && Slot(place)->Alive()) kill(Slot(place)->pid(), signal);
}

absl::StatusOr<std::unique_ptr<ChildProcess>> Fleet::StartStranger(
    const std::string& model, const std::vector<std::string>& flags) {
  std::vector<std::string> arguments = WorkerArguments(model);
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  const std::string name = absl::StrCat("stranger ", ++strangers_);
  std::optional<NetLab::Inside> inside;
  if (net_ != nullptr) inside.emplace(*net_, /*place=*/0);
  return ChildProcess::Start(arguments,
                             [this, name](std::string_view line) { book_.Say(name, line); });
}

}  // namespace conclave::torture
