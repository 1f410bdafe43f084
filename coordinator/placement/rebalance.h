// Experts placed anew by measured load: a few moves at a time, each of which must pay.
#pragma once

#include "coordinator/placement/objective.h"

namespace conclave {

struct RebalanceLimits {
  int loads_all = 0;   // copies that workers load for it, in all
  int loads_each = 0;  // by one worker
};

struct Rebalanced {
  Placement placement;
  Balance before, after;
  LoadsDue loads;
};

// Restores the copies that experts lack (ask.replicas; the limits do not count for these), then,
// in the layers that wait longest for their slowest worker: moves an expert from that worker to the
// one that ends first, swaps two of theirs, or gives the first one's expert another copy there,
// whichever gains most for what is loaded, as long as it gains enough. Copies beyond ask.replicas
// of experts that need none go. Old and new experts fit in memory together: the running epoch keeps
// what it has until the change. All owners of ask.before are among the workers. The result is never
// slower than ask.before with its missing copies; when nothing pays, it is that.
Rebalanced Rebalance(const PlacementAsk& ask, const RebalanceLimits& limits);

}  // namespace conclave
