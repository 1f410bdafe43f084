// What placements are made from, taken from the state: workers, their memory and speed, and the
// loads measured lately.
#pragma once

#include <vector>

#include "coordinator/placement/objective.h"
#include "coordinator/state.h"

namespace conclave {

class PlacementInputs {
 public:
  // `before` outlives this. At least one worker.
  PlacementInputs(const CoordinatorState& state, const std::vector<const WorkerLink*>& workers,
                  const Placement* before);
  PlacementInputs(const PlacementInputs&) = delete;

  const PlacementAsk& ask() const { return ask_; }

 private:
  std::vector<PlacementWorker> workers_;
  PlacementAsk ask_;
};

// Of the committed epoch, rising worker id.
std::vector<const WorkerLink*> Members(const CoordinatorState& state);

}  // namespace conclave
