// Runs programs as a user would: arguments, standard input and environment in; output and exit code
// out.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace conclave {

struct RunAsk {
  std::vector<std::string> arguments;  // arguments[0]: the program, beside `conclave`
  std::string input;
  std::vector<std::string> environment;  // "NAME=value", besides ours
};
struct RunResult {
  int code = -1;  // exit code; 128 + signal
  std::string out, err;
};
RunResult RunProgram(const RunAsk& ask);

// `conclave serve` on free ports, until the object dies.
class Server {
 public:
  explicit Server(const std::vector<std::string>& flags);
  ~Server();
  const std::string& listen() const { return listen_; }
  const std::string& admin() const { return admin_; }
  int Stop();  // SIGTERM; the exit code
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  int errors_ = -1;
  std::string listen_, admin_;
};

std::string ModelDir();  // models/tales-128e

}  // namespace conclave
