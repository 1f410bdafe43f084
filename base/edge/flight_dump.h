// Writes flight recorders out when the process dies by a failed check or a fatal signal, when it is
// asked to (SIGUSR1), and when it ends with a failure: to conclave-NAME-PID.flight in a directory,
// or, without one, the last kLinesToError lines to standard error.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/edge/flight_recorder.h"

namespace conclave {

class FlightDump {
 public:
  static constexpr std::size_t kLinesToError = 200;
  static constexpr std::size_t kRecordersMax = 4;

  struct Options {
    std::string name;                              // of the program, in the file's name: "worker"
    std::string directory;                         // empty: standard error
    std::vector<const FlightRecorder*> recorders;  // outlive this object; at most kRecordersMax
  };
  // One at a time in a process. InvalidArgument names --flight-recorder-dir.
  static absl::StatusOr<std::unique_ptr<FlightDump>> Install(const Options& options);
  ~FlightDump();  // signals do what they did before

  // The process ends with a failure. Without a directory nothing is written: what went wrong was
  // said already, and an error is one line.
  void Failed(std::string_view why) const;

 private:
  FlightDump() = default;
};

}  // namespace conclave
