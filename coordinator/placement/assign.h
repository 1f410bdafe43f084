// Which worker holds which experts, for a start and for a change of membership: a pure function of
// who is there, of where experts are now and of their load.
#pragma once

#include "absl/status/statusor.h"
#include "coordinator/placement/objective.h"

namespace conclave {

// Experts without an owner go to the workers that then end soonest, the heaviest first. Every
// expert gets one owner, then a second one, up to `replicas` different ones, as far as memory goes.
// Workers that held nothing before take experts from those that have most to do. Nothing else
// moves. Ties by id. FailedPrecondition when the experts do not fit; the message has both sizes.
absl::StatusOr<Placement> PlaceExperts(const PlacementAsk& ask);

}  // namespace conclave
