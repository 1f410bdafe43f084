// What a worker says about a step it ran, checked against what was planned, then applied.
#pragma once

#include <string>

#include "coordinator/state.h"

namespace conclave {

enum class Trust : std::uint8_t {
  kApplied,
  kIgnored,   // late or repeated: no harm done
  kNonsense,  // the worker cannot be believed any more
};
struct Reception {
  Trust trust = Trust::kApplied;
  std::string why;
};

// Nothing is changed unless the whole result is in order.
Reception ReceiveResult(CoordinatorState& state, const WorkerLink& link, Micros now,
                        const StepResult& result, CoordinatorOutbox& outbox);

}  // namespace conclave
