// What a placement is judged by: how long a step waits for experts. A step waits, in every layer,
// for the worker that has most to do there; so the cost of a placement is the sum over layers of
// the slowest worker's expected time. Bytes to be loaded come second.
//
// An expert's weight is its expected load, scaled so that the mean of a layer is 1. An eighth of
// the mean is given to every expert alike: its weights must be read from memory even for one row,
// and an expert without a row so far may get one. The time of a worker in a layer is the weight of
// what it serves there, divided by its speed.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "protocol/placement.h"

namespace conclave {

struct PlacementWorker {
  Slot slot;
  std::uint64_t memory_bytes = 0;  // room for experts; 0: no limit known
  bool home = true;                // it has sequences of its own, whose rows it sends to experts
  double speed = 1;                // rows its experts run in a second, in any unit; > 0
};

struct PlacementAsk {
  int moe_layers = 0;
  int experts = 0;
  std::uint64_t expert_bytes = 0;
  std::span<const PlacementWorker> workers;  // rising slots, at least one
  const Placement* before = nullptr;         // may be null, or have owners that are gone
  std::span<const float> loads;  // rows by [moe layers, experts], in any unit; empty: all alike
  int replicas = 1;              // owners that each expert should have at least, memory permitting
};

// [moe layers, experts]
std::vector<float> ExpertWeights(const PlacementAsk& ask);

struct Balance {
  double slowest = 0;  // sum over layers of the slowest worker's time
  double even = 0;     // the same if all workers ended at the same time: no placement does better
  double imbalance() const { return even > 0 ? slowest / even : 1; }
};
// Of a placement whose owners are all among ask.workers. Every home makes as many rows as another.
Balance BalanceOf(const Placement& placement, const PlacementAsk& ask);
// The same, with the weights of ask.
Balance BalanceOf(const Placement& placement, const PlacementAsk& ask,
                  std::span<const float> weights);

// What `after` makes workers load that they do not own by `before`: pairs by slot.
struct LoadsDue {
  int all = 0;
  int most = 0;  // by one worker
};
LoadsDue LoadsBetween(const Placement& before, const Placement& after);

}  // namespace conclave
