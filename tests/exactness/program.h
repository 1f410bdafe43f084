// One of our programs, as it is shipped, in a process of its own.
#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace conclave {

// A program whose standard error is read line by line. Killed with this object, or this process.
// Start it from a thread that lives as long as it should.
class Program {
 public:
  // arguments[0]: its name, beside `conclave`.
  explicit Program(std::vector<std::string> arguments);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // The first line with `part`; empty when the program ended, or after a long time, without one.
  std::string Await(const std::string& part);
  std::string all();
  void Kill();  // SIGKILL; it is gone when this returns

 private:
  void Read(int fd);

  pid_t pid_ = 0;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::string> lines_;
  bool ended_ = false;
  std::thread reader_;
};

// The number after `what` in a log line.
int NumberAfter(const std::string& line, const std::string& what);

}  // namespace conclave
