// A program of ours as a child: its standard error arrives line by line; it dies with this process.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ids.h"

namespace conclave {

// DIR/name, where this process's own program file lies in DIR.
std::string ProgramBesideThis(const std::string& name);

class ChildProcess {
 public:
  // Called from a thread of the child's own, one line at a time, without the newline.
  using LineFn = std::function<void(std::string_view line)>;

  // arguments[0] is the program's path. The child gets this environment less every CONCLAVE_*
  // variable (they were meant for this process), a process group of its own (Ctrl-C is ours to
  // handle), and no standard input. Call from a thread that lives as long as the child: the
  // kernel's "die with the parent" means that thread.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(
      const std::vector<std::string>& arguments, LineFn on_line);
  ~ChildProcess();  // kills it, if it lives

  bool Alive();  // reaps it when it is not
  // Of a dead one: "exited with code 1: its last line".
  std::string Epitaph();
  bool EndedWell() const;  // likewise; with code 0
  // SIGTERM; what has not ended in time is killed. Reaped afterwards.
  void AskToEnd();
  bool WaitForEnd(Micros timeout);
  pid_t pid() const { return pid_; }

 private:
  ChildProcess(pid_t pid, int lines, LineFn on_line);
  void ReadLines(int lines);

  const pid_t pid_;
  const LineFn on_line_;
  bool reaped_ = false;
  int wait_status_ = 0;
  std::mutex mutex_;
  std::string last_line_;
  std::thread reader_;
};

}  // namespace conclave
