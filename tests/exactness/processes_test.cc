// The same bits from real processes: conclave-coordinator and conclave-worker as they are shipped,
// over sockets and UCX, one worker of role expert.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/edge/credentials.h"
#include "exchange/backends.h"
#include "tests/exactness/golden_stream.h"

namespace conclave {
namespace {

constexpr auto kLong = std::chrono::seconds(100);

// A program whose standard error is read line by line. Killed with this object, or this process.
class Program {
 public:
  explicit Program(std::vector<std::string> arguments) {
    arguments[0] = std::string(CONCLAVE_BIN_DIR) + "/" + arguments[0];
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    // What is meant for this process (CONCLAVE_...) would be flags to those.
    std::vector<char*> environment;
    for (char** entry = environ; *entry != nullptr; ++entry) {
      if (!std::string_view(*entry).starts_with("CONCLAVE_")) environment.push_back(*entry);
    }
    environment.push_back(nullptr);
    int ends[2];
    CONCLAVE_CHECK(pipe2(ends, O_CLOEXEC) == 0, "pipe");
    pid_ = fork();
    CONCLAVE_CHECK(pid_ >= 0, "fork");
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      dup2(ends[1], STDERR_FILENO);
      execve(argv[0], argv.data(), environment.data());
      _exit(127);
    }
    close(ends[1]);
    reader_ = std::thread([this, fd = ends[0]] { Read(fd); });
  }
  ~Program() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    reader_.join();
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // The first line with `part`; empty when the program ended, or after a long time, without one.
  std::string Await(const std::string& part) {
    std::unique_lock lock(mutex_);
    std::string found;
    wake_.wait_for(lock, kLong, [&] {
      const auto line = std::ranges::find_if(
          lines_, [&](const std::string& one) { return one.find(part) != std::string::npos; });
      if (line != lines_.end()) found = *line;
      return ended_ || !found.empty();
    });
    return found;
  }
  std::string all() {
    std::lock_guard lock(mutex_);
    std::string joined;
    for (const std::string& line : lines_) joined += line + "\n";
    return joined;
  }

 private:
  void Read(int fd) {
    std::FILE* const file = fdopen(fd, "r");
    char* line = nullptr;
    std::size_t room = 0;
    for (ssize_t length = 0; (length = getline(&line, &room, file)) > 0;) {
      std::lock_guard lock(mutex_);
      lines_.emplace_back(line, static_cast<std::size_t>(length) - 1);
      wake_.notify_all();
    }
    free(line);
    fclose(file);
    std::lock_guard lock(mutex_);
    ended_ = true;
    wake_.notify_all();
  }

  pid_t pid_ = 0;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::string> lines_;
  bool ended_ = false;
  std::thread reader_;
};

// The number after `what` in a log line.
int NumberAfter(const std::string& line, const std::string& what) {
  const std::size_t at = line.find(what);
  CONCLAVE_CHECK(at != std::string::npos, "no %s in %s", what.c_str(), line.c_str());
  return std::stoi(line.substr(at + what.size()));
}

// First of all, before this process has threads of gRPC's: it forks.
TEST(Processes, FourWorkersOverUcx) {
  if (!std::ranges::count(ExchangeBackendsHere(), "ucx")) GTEST_SKIP() << "built without UCX";
  Program coordinator({"conclave-coordinator", "--model", TalesDir(), "--workers", "4", "--listen",
                       "127.0.0.1:0", "--admin", "127.0.0.1:0"});
  const std::string listening = coordinator.Await("grpc port ");
  ASSERT_NE(listening, "") << coordinator.all();
  const std::string address = "127.0.0.1:" + std::to_string(NumberAfter(listening, "grpc port "));
  std::vector<std::unique_ptr<Program>> workers;
  for (int i = 0; i < 4; ++i) {
    workers.push_back(std::make_unique<Program>(
        std::vector<std::string>{"conclave-worker", "--model", TalesDir(), "--coordinator", address,
                                 "--role", i == 2 ? "expert" : "worker", "--exchange", "ucx",
                                 "--threads", "1", "--kv-memory", "64MiB"}));
  }
  const std::string ready = coordinator.Await("ready to serve");
  ASSERT_NE(ready, "") << coordinator.all() << workers[0]->all();

  const auto client = v1::InferenceService::NewStub(ChannelTo(address));
  const std::vector<Answer> alone =
      AskInTurn(*client, {GoldenRequests().begin(), GoldenRequests().begin() + 4});
  const std::vector<Answer> together = AskTogether(*client, ManyRequests(30), 21);
  ExpectGolden(KernelChoice::kAuto, alone);
  ExpectGolden(KernelChoice::kAuto, together);
}

}  // namespace
}  // namespace conclave
