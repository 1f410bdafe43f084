// What goes wrong in a seed besides what clients do: a list made beforehand. A new kind of fault is
// a new enumerator, a line in PlanFaults and a case in World::Strike.
#pragma once

#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "sim/dice.h"
#include "sim/node.h"
#include "sim/options.h"

namespace conclave::sim {

enum class FaultKind : std::uint8_t {
  kCrash,               // the process dies at once
  kCrashAt,             // the process dies at its next such moment
  kHang,                // the process is stopped for a while, as by SIGSTOP
  kWedge,               // its strand is stuck for a while; it still sends heartbeats
  kControlBreaks,       // its control stream ends; both sides live
  kControlStalls,       // its control stream carries nothing in one direction or both
  kControlIsSlow,       // its control stream is slow
  kFramesStop,          // no frames pass between it and a peer, in one direction or both
  kFramesAreSlow,       // frames between it and a peer are slow
  kLoadFails,           // its next load of experts gets no memory
  kCoordinatorRestarts  // the coordinator dies, and a new one starts that knows nothing
};

struct Fault {
  FaultKind kind = FaultKind::kCrash;
  Micros at = 0;
  int node = 0;
  int peer = 0;                         // of frames
  Moment moment = Moment::kInExchange;  // of a crash
  Micros lasts = 0;                     // hangs and what is like them; a process's time until it is
                                        // started again
  Micros extra = 0;                     // delay
  bool outwards = true, inwards = true;  // as the node sees it
  bool loses = false;                    // frames are lost, not held up
};

const char* NameOf(FaultKind kind);

// Rising time. Unless crashed processes are started again, one worker that takes sequences is left.
std::vector<Fault> PlanFaults(const SimOptions& options, Dice& dice);

}  // namespace conclave::sim
