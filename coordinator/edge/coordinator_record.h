// What the coordinator hears and decides, as short records of its flight recorder. Its log lines
// are there already, see Recording.
#pragma once

#include <array>
#include <cstdint>

#include "base/edge/flight_recorder.h"
#include "coordinator/events.h"

namespace conclave {

// On the strand.
class CoordinatorRecord {
 public:
  explicit CoordinatorRecord(FlightRecorder& recorder) : recorder_(recorder) {}
  void Heard(const CoordinatorEvent& event, Micros now);
  void Decided(const CoordinatorEffect& effect, Micros now);

 private:
  // A step that was sent: one record when all have answered, not one per message.
  struct Step {
    Epoch epoch;
    StepId step;
    Micros asked = 0;
    std::int64_t rows = 0;
    int parts = 0, results = 0;
  };
  void Asked(const StepAsk& ask, Micros now);
  void Done(const StepResult& result, Micros now);

  FlightRecorder& recorder_;
  std::array<Step, 4> steps_;  // by number; more than plans ahead
};

}  // namespace conclave
