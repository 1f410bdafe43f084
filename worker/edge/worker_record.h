// What a worker hears and does, as short records of its flight recorder. Its log lines are there
// already, see Recording.
#pragma once

#include <array>

#include "base/edge/flight_recorder.h"
#include "worker/core.h"

namespace conclave {

// On the worker's strand.
class WorkerRecord {
 public:
  explicit WorkerRecord(FlightRecorder& recorder) : recorder_(recorder) {}
  void Heard(const WorkerEvent& event);
  void Did(const WorkerEffect& effect);

 private:
  struct Step {
    StepId step;
    Micros asked = 0;
    std::int64_t rows = 0;
  };
  void Asked(const StepAsk& ask);
  void Done(const StepResult& result);

  FlightRecorder& recorder_;
  std::array<Step, 4> steps_;  // by number; more than plans ahead
  Micros done_ = 0;            // when the last one was
};

}  // namespace conclave
