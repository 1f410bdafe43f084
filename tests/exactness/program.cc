#include "tests/exactness/program.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace conclave {
namespace {

constexpr auto kLong = std::chrono::seconds(100);

}  // namespace

Program::Program(std::vector<std::string> arguments) {
  arguments[0] = absl::StrCat(CONCLAVE_BIN_DIR, "/", arguments[0]);
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

Program::~Program() {
  Kill();
  reader_.join();
}

void Program::Kill() {
  if (pid_ == 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

std::string Program::Await(const std::string& part) {
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

std::string Program::all() {
  std::lock_guard lock(mutex_);
  std::string joined;
  for (const std::string& line : lines_) joined += line + "\n";
  return joined;
}

void Program::Read(int fd) {
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

int NumberAfter(const std::string& line, const std::string& what) {
  const std::size_t at = line.find(what);
  CONCLAVE_CHECK(at != std::string::npos, "no %s in %s", what.c_str(), line.c_str());
  return std::stoi(line.substr(at + what.size()));
}

}  // namespace conclave
