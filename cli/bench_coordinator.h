// `conclave bench coordinator`: the real coordinator in this process, with simulated workers and
// clients in a second one, so that the processor time of this process is the coordinator's alone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/ids.h"
#include "protocol/control.h"

namespace conclave {

// What is measured, known to both processes.
struct CoordinatorBench {
  int workers = 128;
  int layers = 94;
  int experts = 128;
  int topk = 8;
  int streams = 2048;
  int prompt = 128;
  int generate = 64;
  int rows = 512;  // budget of each worker's step
  std::uint64_t seed = 1;
  ModelFacts facts;  // of the model that is served

  // Long enough that the streams of the second wave outlive all changes of membership.
  int LongAnswer() const { return 16 * generate; }
};

// What the load's process saw.
struct LoadReport {
  std::uint64_t steps = 0;  // those that had a part for every worker, before members changed
  double rows_per_step = 0;
  double fill_min = 0, fill_mean = 0;  // rows over budget, while there were prompts for everybody
  std::uint64_t steps_filled = 0;      // of which these two are
  std::uint64_t failures = 0;
  std::string first_failure;
};

// One line of text at a time to and from the process at the other end of a socket.
class LineSocket {
 public:
  explicit LineSocket(int fd) : fd_(fd) {}
  ~LineSocket();
  LineSocket(const LineSocket&) = delete;
  LineSocket& operator=(const LineSocket&) = delete;
  bool Send(const std::string& line);
  bool Receive(std::string& line);  // waits; false when the other end is closed

 private:
  const int fd_;
  std::string read_;
};

// Moments at which the load asks for a measurement and waits until it was taken.
inline constexpr const char* kMarkServing = "serving";  // all workers there, no stream yet
inline constexpr const char* kMarkFull = "full";        // the first stream has its last token
inline constexpr const char* kMarkDone = "done";        // and all have
inline constexpr const char* kMarkChanged = "changed";  // members have come and gone, streams, too

// The load's process: reads "PORT ADMIN_PORT", then sends "news TEXT", "mark NAME" (and reads a line
// in answer) and at last "report JSON". Returns its exit code.
int RunCoordinatorLoad(const CoordinatorBench& bench, LineSocket& parent);

}  // namespace conclave
