// What goes wrong in a seed besides what clients do: a list made beforehand. A new kind of fault is
// a new enumerator, a line in PlanFaults and a case in World::Strike.
#pragma once

#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "sim/dice.h"
#include "sim/options.h"

namespace conclave::sim {

enum class FaultKind : std::uint8_t {
  kCrash,            // the process is gone, at once
  kCrashInExchange,  // likewise, when it has begun its next exchange after that time
  kCrashInPrepare,   // likewise, when it is told of the next epoch after that time
};

struct Fault {
  FaultKind kind = FaultKind::kCrash;
  Micros at = 0;
  int node = 0;
};

const char* NameOf(FaultKind kind);

// Rising time. Whoever is struck, one worker that takes sequences is left.
std::vector<Fault> PlanFaults(const SimOptions& options, Dice& dice);

}  // namespace conclave::sim
