// Which worker takes the experts of one that is lost: as fast as can be, because steps wait.
#pragma once

#include "absl/status/statusor.h"
#include "coordinator/placement/objective.h"

namespace conclave {

// Every owner that is there keeps what it has, as far as its memory goes (a slot's next holder may
// have less than the last one). Only experts without any owner are given to someone: each worker
// loads as many as another, and among those that have loaded fewest, the one that holds fewest in
// that layer is taken. Measured loads and speeds do not count, so that a repair that was prepared
// before the loss is the one that is made after it. If that does not fit, as PlaceExperts. FailedPrecondition likewise.
absl::StatusOr<Placement> RepairPlacement(const PlacementAsk& ask);

}  // namespace conclave
