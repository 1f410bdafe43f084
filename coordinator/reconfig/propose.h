// Who would take part in the next epoch, and which experts each would hold: judged from the state.
// Nothing is changed here.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/state.h"

namespace conclave {

struct EpochProposal {
  std::vector<const WorkerLink*> workers;  // rising worker id
  Placement placement;
};

// For an epoch that is made at once, because none can run a step. It consists of the members alone,
// those that want to leave included, because they hold experts and sequences; newcomers take part
// if the members cannot hold all experts. After a first start, or when all members were lost, it
// consists of everybody who is here, once they are as many as wanted, or with `fewer_will_do` as
// many as can hold the experts. FailedPrecondition says what is missing.
absl::StatusOr<EpochProposal> ProposeAfterLoss(const CoordinatorState& state, bool fewer_will_do);

// For a planned change: members and newcomers, without `leavers`.
absl::StatusOr<EpochProposal> ProposePlanned(const CoordinatorState& state,
                                             const std::vector<LinkId>& leavers);

// What ProposeAfterLoss would say if these members were lost now. FailedPrecondition: the others
// cannot hold the experts.
absl::StatusOr<EpochProposal> ProposeWithout(const CoordinatorState& state, const SlotSet& lost);
// For a planned change in which nobody comes or leaves: experts are placed anew by load, and copies
// that a loss took are made again.
EpochProposal ProposeRebalance(const CoordinatorState& state);

// Whether these workers have memory for all experts; FailedPrecondition has both sizes. Much
// cheaper than a placement.
absl::Status CanHoldExperts(const CoordinatorState& state,
                            const std::vector<const WorkerLink*>& workers);

// From when on fewer workers than wanted will do while nobody is a member: nobody has come for long.
Micros FewerWorkersWillDoAt(const CoordinatorState& state);

// Experts of which no owner is a member, for people; empty: every expert has one.
std::string ExpertsWithoutOwner(const CoordinatorState& state);

}  // namespace conclave
