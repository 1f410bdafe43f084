#include "coordinator/reconfig/propose.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/placement/assign.h"
#include "coordinator/placement/draft.h"
#include "coordinator/placement/rebalance.h"
#include "coordinator/placement/repair.h"
#include "coordinator/placement_inputs.h"
#include "coordinator/rebalance.h"

namespace conclave {
namespace {

using Workers = std::vector<const WorkerLink*>;

absl::Status CheckRoles(const Workers& workers) {
  if (workers.empty()) return absl::FailedPreconditionError("no worker is there");
  if (std::ranges::none_of(
          workers, [](const WorkerLink* link) { return link->hello.role == Role::kWorker; })) {
    return absl::FailedPreconditionError("no worker takes sequences: all have role expert");
  }
  return absl::OkStatus();
}

absl::StatusOr<EpochProposal> Place(const CoordinatorState& state, Workers workers,
                                    const Placement& before) {
  if (absl::Status status = CheckRoles(workers); !status.ok()) return status;
  const PlacementInputs inputs(state, workers, &before);
  absl::StatusOr<Placement> placement = PlaceExperts(inputs.ask());
  if (!placement.ok()) return placement.status();
  return EpochProposal{std::move(workers), *std::move(placement)};
}

// Every owner that is here keeps what it has, and only what has no owner at all is given to
// somebody.
absl::StatusOr<EpochProposal> Repair(const CoordinatorState& state, Workers workers,
                                     const Placement& before) {
  if (absl::Status status = CheckRoles(workers); !status.ok()) return status;
  const PlacementInputs inputs(state, workers, &before);
  absl::StatusOr<Placement> placement = RepairPlacement(inputs.ask());
  if (!placement.ok()) return placement.status();
  return EpochProposal{std::move(workers), *std::move(placement)};
}

}  // namespace

absl::StatusOr<EpochProposal> ProposeAfterLoss(const CoordinatorState& state, bool fewer_will_do) {
  const Placement& before = state.reconfig.proposed_placement;
  Workers members, all;
  for (const WorkerLink* link : state.membership.Greeted()) {
    if (link->member) members.push_back(link);
    if (link->member || !link->draining) all.push_back(link);
  }
  const bool anyone = !members.empty();
  if (anyone && CanHoldExperts(state, members).ok()) {
    return Repair(state, std::move(members), before);
  }
  const auto wanted = static_cast<std::size_t>(std::max(1, state.config.workers_wanted));
  if (!anyone && all.size() < wanted && !fewer_will_do) {
    return absl::FailedPreconditionError(
        absl::StrCat(all.size(), " of ", wanted, " workers are there"));
  }
  return anyone ? Repair(state, std::move(all), before) : Place(state, std::move(all), before);
}

absl::StatusOr<EpochProposal> ProposePlanned(const CoordinatorState& state,
                                             const std::vector<LinkId>& leavers) {
  Workers workers = state.membership.Greeted();
  std::erase_if(workers, [&](const WorkerLink* link) {
    return link->member ? std::ranges::find(leavers, link->id) != leavers.end() : link->draining;
  });
  return Place(state, std::move(workers), state.placement);
}

EpochProposal ProposeRebalance(const CoordinatorState& state) {
  Workers workers = Members(state);
  const PlacementInputs inputs(state, workers, &state.placement);
  Placement placement = Rebalance(inputs.ask(), LimitsOfOneChange(inputs.ask())).placement;
  return {std::move(workers), std::move(placement)};
}

absl::StatusOr<EpochProposal> ProposeWithout(const CoordinatorState& state, const SlotSet& lost) {
  Workers workers = state.membership.Greeted();
  std::erase_if(workers, [&](const WorkerLink* link) {
    return !link->member || lost.Has(link->slot);
  });
  return Repair(state, std::move(workers), state.reconfig.proposed_placement);
}

absl::Status CanHoldExperts(const CoordinatorState& state, const Workers& workers) {
  if (absl::Status status = CheckRoles(workers); !status.ok()) return status;
  return CheckRoom(PlacementInputs(state, workers, nullptr).ask());
}

Micros FewerWorkersWillDoAt(const CoordinatorState& state) {
  const bool served_before = std::ranges::any_of(state.membership.links(), [](const auto& each) {
    return each.second.greeted && each.second.hello.last_epoch.number > 0;
  });
  const Micros limit = state.config.gather_limit;
  return state.reconfig.last_join_at +
         (served_before ? std::min(limit, state.config.rejoin_limit) : limit);
}

std::string ExpertsWithoutOwner(const CoordinatorState& state) {
  SlotSet live;
  for (const Slot slot : state.live) live.Add(slot);
  const auto lives = [&](std::uint8_t slot) { return slot != kNoOwner && live.Has(Slot{slot}); };
  const std::span<const ExpertOwners> all = state.placement.all();
  int missing = 0;
  std::size_t first = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (std::ranges::any_of(all[i].slots, lives)) continue;
    if (missing++ == 0) first = i;
  }
  if (missing == 0) return "";
  const auto experts = static_cast<std::size_t>(state.placement.experts());
  return absl::StrCat(missing, " experts have no owner, the first is expert ", first % experts,
                      " of MoE layer ", first / experts);
}

}  // namespace conclave
