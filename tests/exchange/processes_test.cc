// UCX between real processes: killed, stopped and woken, replaced, and kept apart by namespaces.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace conclave {
namespace {

using testing::AnyOf;
using testing::ContainsRegex;
using testing::StartsWith;

enum class PidNamespace { kShared, kOwn };

// A running exchange_peer.
class Process {
 public:
  Process(int slot, const std::string& transports, PidNamespace pids) : slot_(slot) {
    int to[2];
    int from[2];
    EXPECT_EQ(pipe2(to, O_CLOEXEC), 0);
    EXPECT_EQ(pipe2(from, O_CLOEXEC), 0);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(to[0], STDIN_FILENO);
      dup2(from[1], STDOUT_FILENO);
      close_range(3, ~0U, 0);  // a copy of another's pipe would keep that one from ending
      // The namespace takes effect for children: one more fork, and this process waits for it.
      if (pids == PidNamespace::kOwn && (unshare(CLONE_NEWPID) != 0)) _exit(3);
      if (pids == PidNamespace::kOwn && fork() != 0) {
        wait(nullptr);
        _exit(0);
      }
      execl(EXCHANGE_PEER, EXCHANGE_PEER, std::to_string(slot).c_str(), transports.c_str(),
            static_cast<char*>(nullptr));
      _exit(4);
    }
    close(to[0]);
    close(from[1]);
    to_ = fdopen(to[1], "w");
    from_ = fdopen(from[0], "r");
  }
  ~Process() {
    fclose(to_);  // the end of its input is the end of it
    Signal(SIGCONT);
    fclose(from_);
    waitpid(pid_, nullptr, 0);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  int slot() const { return slot_; }
  void Signal(int number) { kill(pid_, number); }
  void Tell(const std::string& line) {
    std::fprintf(to_, "%s\n", line.c_str());
    std::fflush(to_);
  }
  std::string Hear() {
    std::string line;
    for (int c = std::fgetc(from_); c != EOF && c != '\n'; c = std::fgetc(from_)) {
      line.push_back(static_cast<char>(c));
    }
    return line;
  }
  std::string Ask(const std::string& line) {
    Tell(line);
    return Hear();
  }

 private:
  int slot_;
  pid_t pid_;
  FILE* to_;
  FILE* from_;
};

using Group = std::vector<std::unique_ptr<Process>>;

class Processes : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { signal(SIGPIPE, SIG_IGN); }
  std::unique_ptr<Process> Start(int slot, PidNamespace pids = PidNamespace::kShared) {
    return std::make_unique<Process>(slot, GetParam(), pids);
  }
  // As the coordinator does it: addresses first, then everybody opens.
  void Open(const Group& group, int epoch) {
    std::string view = absl::StrCat("open ", epoch);
    for (const auto& process : group) {
      const std::string said = process->Ask("address");
      ASSERT_THAT(said, StartsWith("address "));
      absl::StrAppend(&view, " ", process->slot(), ":", said.substr(8));
    }
    for (const auto& process : group) process->Tell(view);
    for (const auto& process : group) EXPECT_EQ(process->Hear(), "ok");
  }
  void StartRun(const Group& group, int count) {
    for (const auto& process : group) process->Tell(absl::StrCat("run ", count));
  }
  void ExpectRuns(const Group& group, int count) {
    StartRun(group, count);
    for (const auto& process : group) EXPECT_EQ(process->Hear(), "ok") << process->slot();
  }
  // Everybody is past the hundredth exchange, and goes on for a very long time.
  void RunLong(const Group& group) {
    StartRun(group, 100000000);
    for (const auto& process : group) ASSERT_EQ(process->Hear(), "running") << process->slot();
  }
  void ExpectAllBlame(const Group& survivors, int slot) {
    for (const auto& process : survivors) {
      const std::string said = process->Hear();
      EXPECT_THAT(said, AnyOf(StartsWith("error UNAVAILABLE"), StartsWith("error DEADLINE")));
      EXPECT_THAT(said, ContainsRegex(absl::StrCat("slots? ([0-9]+, )*", slot, "($|[^0-9])")));
    }
  }
};

TEST_P(Processes, Exchange) {
  Group group;
  for (const int slot : {0, 1, 5, 127}) group.push_back(Start(slot));
  Open(group, 1);
  ExpectRuns(group, 90);
  Open(group, 2);
  ExpectRuns(group, 50);
}

TEST_P(Processes, SurvivorsOfAKillGoOnAndTakeAReplacement) {
  Group group;
  for (const int slot : {0, 1, 5, 9}) group.push_back(Start(slot));
  int epoch = 0;
  for (const std::size_t victim : {1, 0, 3}) {
    SCOPED_TRACE(victim);
    Open(group, ++epoch);
    RunLong(group);
    const int slot = group[victim]->slot();
    group[victim]->Signal(SIGKILL);
    group.erase(group.begin() + static_cast<std::ptrdiff_t>(victim));
    ExpectAllBlame(group, slot);
    Open(group, ++epoch);
    ExpectRuns(group, 40);
    group.insert(group.begin() + static_cast<std::ptrdiff_t>(victim), Start(slot));
  }
  Open(group, ++epoch);
  ExpectRuns(group, 40);
}

// A peer that dies after it connected and before the others open: their fresh endpoints have
// already heard from it.
TEST_P(Processes, APeerThatDiesWhileTheOthersOpenIsSurvived) {
  Group group;
  for (const int slot : {0, 1, 2}) group.push_back(Start(slot));
  std::string view = "open 1";
  for (const auto& process : group) {
    absl::StrAppend(&view, " ", process->slot(), ":", process->Ask("address").substr(8));
  }
  EXPECT_EQ(group[2]->Ask(view), "ok");
  group[2]->Tell("run 1");  // waits for the others, who are not there yet
  EXPECT_THAT(group[2]->Hear(), StartsWith("error DEADLINE"));
  group[2]->Signal(SIGKILL);
  group.pop_back();
  Open(group, 2);
  ExpectRuns(group, 90);
}

TEST_P(Processes, AZombieThatWakesUpDisturbsNobody) {
  Group group;
  for (const int slot : {0, 3, 4}) group.push_back(Start(slot));
  Open(group, 1);
  RunLong(group);
  group[2]->Signal(SIGSTOP);
  const std::unique_ptr<Process> zombie = std::move(group[2]);
  group.pop_back();
  ExpectAllBlame(group, zombie->slot());
  Open(group, 2);
  StartRun(group, 400);
  for (const auto& process : group) ASSERT_EQ(process->Hear(), "running");
  zombie->Signal(SIGCONT);
  EXPECT_THAT(zombie->Hear(), StartsWith("error"));
  for (const auto& process : group) EXPECT_EQ(process->Hear(), "ok");
  group.push_back(Start(7));
  Open(group, 3);
  ExpectRuns(group, 90);
}

TEST_P(Processes, SeparatePidNamespacesFindAnotherWay) {
  Group group;
  group.push_back(Start(0));
  group.push_back(Start(1, PidNamespace::kOwn));
  group.push_back(Start(2, PidNamespace::kOwn));
  if (group[1]->Ask("address").empty()) {
    GTEST_SKIP() << "this user may not make PID namespaces";
  }
  Open(group, 1);
  ExpectRuns(group, 90);
}

std::string TransportsName(const testing::TestParamInfo<const char*>& transports) {
  return *transports.param == '\0' ? "any" : transports.param;
}
INSTANTIATE_TEST_SUITE_P(All, Processes, testing::Values("", "tcp"), TransportsName);

}  // namespace
}  // namespace conclave
