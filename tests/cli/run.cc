#include "tests/cli/run.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace conclave {
namespace {

struct Started {
  pid_t pid;
  int in, out, err;  // our ends
};

std::vector<char*> Pointers(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

Started Start(const RunAsk& ask) {
  std::vector<std::string> words = ask.arguments;
  words[0] = absl::StrCat(CONCLAVE_BIN_DIR, "/", words[0]);
  std::vector<std::string> environment = ask.environment;
  for (char** entry = environ; *entry != nullptr; ++entry) environment.emplace_back(*entry);
  std::vector<char*> word_pointers = Pointers(words);
  std::vector<char*> environment_pointers = Pointers(environment);
  std::array<std::array<int, 2>, 3> pipes{};
  for (auto& ends : pipes) CONCLAVE_CHECK(pipe2(ends.data(), O_CLOEXEC) == 0, "pipe: %d", errno);
  const pid_t pid = fork();
  CONCLAVE_CHECK(pid >= 0, "fork: %d", errno);
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(pipes[0][0], 0);
    dup2(pipes[1][1], 1);
    dup2(pipes[2][1], 2);
    execve(words[0].c_str(), word_pointers.data(), environment_pointers.data());
    _exit(127);
  }
  close(pipes[0][0]);
  close(pipes[1][1]);
  close(pipes[2][1]);
  return {pid, pipes[0][1], pipes[1][0], pipes[2][0]};
}

int CodeOf(pid_t pid) {
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

// What follows `mark` in `text`, to the next blank or comma.
std::string WordAfter(const std::string& text, const std::string& mark) {
  const std::size_t at = text.find(mark);
  if (at == std::string::npos) return "";
  const std::size_t begin = at + mark.size();
  return text.substr(begin, text.find_first_of(", \n", begin) - begin);
}

}  // namespace

std::string ModelDir() { return CONCLAVE_SOURCE_DIR "/models/tales-128e"; }

RunResult RunProgram(const RunAsk& ask) {
  signal(SIGPIPE, SIG_IGN);  // a program may end without reading all of its input
  const Started started = Start(ask);
  std::size_t written = 0;
  RunResult result;
  std::array<pollfd, 3> entries = {
      pollfd{started.in, POLLOUT, 0}, {started.out, POLLIN, 0}, {started.err, POLLIN, 0}};
  while (entries[1].fd >= 0 || entries[2].fd >= 0) {
    poll(entries.data(), entries.size(), -1);
    if (entries[0].revents != 0) {
      const ssize_t put = write(started.in, ask.input.data() + written, ask.input.size() - written);
      if (put > 0) written += static_cast<std::size_t>(put);
      if (put < 0 || written == ask.input.size()) {
        close(started.in);
        entries[0].fd = -1;
      }
    }
    for (const std::size_t i : {1, 2}) {
      if (entries[i].fd < 0 || entries[i].revents == 0) continue;
      char bytes[4096];
      const ssize_t got = read(entries[i].fd, bytes, sizeof(bytes));
      if (got > 0) {
        (i == 1 ? result.out : result.err).append(bytes, static_cast<std::size_t>(got));
      } else {
        close(entries[i].fd);
        entries[i].fd = -1;
      }
    }
  }
  if (entries[0].fd >= 0) close(started.in);
  result.code = CodeOf(started.pid);
  return result;
}

Server::Server(const std::vector<std::string>& flags) {
  RunAsk ask;
  ask.arguments = {"conclave", "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"};
  ask.arguments.insert(ask.arguments.end(), flags.begin(), flags.end());
  const Started started = Start(ask);
  pid_ = started.pid;
  errors_ = started.err;
  close(started.in);
  close(started.out);
  std::string said;
  char byte = 0;
  while (said.find("probes and metrics") == std::string::npos) {
    CONCLAVE_CHECK(read(errors_, &byte, 1) == 1, "serve did not get ready: %s", said.c_str());
    said += byte;
  }
  listen_ = WordAfter(said, "serves on ");
  admin_ = WordAfter(said, "administration on ");
}

Server::~Server() {
  if (pid_ > 0) Stop();
  close(errors_);
}

int Server::Stop() {
  kill(pid_, SIGTERM);
  char bytes[4096];
  while (read(errors_, bytes, sizeof(bytes)) > 0) {
  }
  return CodeOf(std::exchange(pid_, -1));
}

}  // namespace conclave
