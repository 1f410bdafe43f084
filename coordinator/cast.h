// Who takes part in the next epoch, and which experts each holds: judged from the state, for every
// kind of change. Nothing is changed here.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/state.h"

namespace conclave {

struct Cast {
  std::vector<const WorkerLink*> workers;  // rising slot
  Placement placement;
};

// For an epoch that is made at once, because there is none that could run a step. Members alone,
// those that want to leave included: they have their experts and sequences; newcomers too if
// members cannot hold all experts. After a first start, or when all members were lost, everyone who
// is there, once they are as many as wanted; `few_will_do`: or as many as can hold the experts.
// FailedPrecondition says what is missing.
absl::StatusOr<Cast> CastAtOnce(const CoordinatorState& state, bool few_will_do);

// For a foreseen change: members and newcomers, without those that leave.
absl::StatusOr<Cast> CastForChange(const CoordinatorState& state,
                                   const std::vector<LinkId>& leavers);

// Who of those that want to leave can go now, earliest wish first by slot; for the others, why not.
// Newcomers do not count: they may fail to join. Experts, sequences and the longest request must
// all have a place with those that stay.
struct Leaving {
  std::vector<LinkId> can;
  std::vector<std::pair<LinkId, std::string>> cannot;
  std::int64_t blocks_short = 0;  // KV blocks of a request that keeps someone here; 0: none does
};
Leaving WhoCanLeave(const CoordinatorState& state);

// The most KV blocks that one request may need until its end; 0: there is none.
std::int64_t MostBlocksNeeded(const CoordinatorState& state);
// Of the largest KV pool among the members that mean to stay, for who asks now; among all members
// if none does. 0: there is no member.
std::int64_t LargestPool(const CoordinatorState& state);

// Experts of which no owner is a member, for people; empty: every expert has one.
std::string ExpertsWithoutOwner(const CoordinatorState& state);

}  // namespace conclave
