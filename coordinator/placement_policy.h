// Which worker holds which experts: a pure function of who is there and of where experts are now.
#pragma once

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "protocol/placement.h"

namespace conclave {

struct PlacementSlot {
  Slot slot;
  std::uint64_t memory_bytes = 0;  // room for experts; 0: no limit known
};

struct PlacementAsk {
  int moe_layers = 0;
  int experts = 0;
  std::uint64_t expert_bytes = 0;
  std::span<const PlacementSlot> slots;  // rising, at least one
  const Placement* before = nullptr;     // may be null, or have owners that are gone
  int replicas = 1;                      // owners that each expert should have, 1..kReplicasMax
  bool repair = false;  // owners that are there keep what they have; only experts without any get
                        // one, which leaves least to load. If that does not fit, as without.
};

// Every expert gets one owner, or `replicas` different ones when there are so many workers with
// room enough; else as many as all experts can have. In each layer a worker's count is within one
// of its share, which is proportional to its memory (equal when anyone's memory is unknown), unless
// its memory is too small for that. An expert moves only if its owner is gone or has more than its
// count. Ties by id. FailedPrecondition when the experts do not fit; the message has both sizes.
absl::StatusOr<Placement> PlaceExperts(const PlacementAsk& ask);

// Whether PlaceExperts would succeed, and if not, the same message: it looks at memory alone.
absl::Status CheckRoom(const PlacementAsk& ask);

}  // namespace conclave
