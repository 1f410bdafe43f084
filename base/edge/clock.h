// The one place that asks what time it is, for every event's `now`.
#pragma once

#include <chrono>

#include "base/ids.h"

namespace conclave {

inline Micros SteadyMicros() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace conclave
