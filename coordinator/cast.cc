#include "coordinator/cast.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/admission.h"
#include "coordinator/placement_policy.h"

namespace conclave {
namespace {

using Workers = std::vector<const WorkerLink*>;

// Where experts would lie. `repair`: every owner that is there keeps what it has, and only what
// has no owner at all is given to someone.
absl::StatusOr<Placement> Place(const CoordinatorState& state, const Workers& workers,
                                const Placement& before, bool repair) {
  if (workers.empty()) return absl::FailedPreconditionError("no worker is there");
  if (std::ranges::none_of(
          workers, [](const WorkerLink* link) { return link->hello.role == Role::kWorker; })) {
    return absl::FailedPreconditionError("no worker takes sequences: all have role expert");
  }
  std::vector<PlacementSlot> slots;
  for (const WorkerLink* link : workers) {
    slots.push_back({link->slot, link->hello.expert_memory_bytes});
  }
  const ModelFacts& facts = state.model.facts;
  return PlaceExperts({.moe_layers = facts.moe_layers,
                       .experts = facts.experts,
                       .expert_bytes = workers.front()->hello.model.expert_bytes,
                       .slots = slots,
                       .before = &before,
                       .replicas = state.config.expert_replicas,
                       .repair = repair});
}

std::int64_t LargestPoolOf(const Workers& workers) {
  std::int64_t blocks = 0;
  for (const WorkerLink* link : workers) {
    if (link->hello.role == Role::kWorker)
      blocks = std::max<std::int64_t>(blocks, link->hello.kv_blocks);
  }
  return blocks;
}

bool Lives(const CoordinatorState& state, std::uint8_t slot) {
  return std::ranges::find(state.live, Slot{slot}) != state.live.end();
}

}  // namespace

absl::StatusOr<Cast> CastAtOnce(const CoordinatorState& state, bool few_will_do) {
  const Workers greeted = state.membership.Greeted();
  Workers members, all;
  for (const WorkerLink* link : greeted) {
    if (link->member) members.push_back(link);
    if (link->member || !link->draining) all.push_back(link);
  }
  if (!members.empty()) {
    absl::StatusOr<Placement> placement =
        Place(state, members, state.placement_proposed, /*repair=*/true);
    if (placement.ok()) return Cast{std::move(members), *std::move(placement)};
  }
  const auto wanted = static_cast<std::size_t>(std::max(1, state.config.workers_wanted));
  if (members.empty() && all.size() < wanted && !few_will_do) {
    return absl::FailedPreconditionError(
        absl::StrCat(all.size(), " of ", wanted, " workers are there"));
  }
  absl::StatusOr<Placement> placement =
      Place(state, all, state.placement_proposed, /*repair=*/!members.empty());
  if (!placement.ok()) return placement.status();
  return Cast{std::move(all), *std::move(placement)};
}

absl::StatusOr<Cast> CastForChange(const CoordinatorState& state,
                                   const std::vector<LinkId>& leavers) {
  Workers workers = state.membership.Greeted();
  std::erase_if(workers, [&](const WorkerLink* link) {
    return link->member ? std::ranges::find(leavers, link->id) != leavers.end() : link->draining;
  });
  absl::StatusOr<Placement> placement = Place(state, workers, state.placement, /*repair=*/false);
  if (!placement.ok()) return placement.status();
  return Cast{std::move(workers), *std::move(placement)};
}

Leaving WhoCanLeave(const CoordinatorState& state) {
  Workers staying = state.membership.Greeted();
  std::erase_if(staying, [](const WorkerLink* link) { return !link->member; });
  const std::int64_t needed = MostBlocksNeeded(state);
  Leaving leaving;
  for (const WorkerLink* link : Workers(staying)) {
    if (!link->draining) continue;
    Workers others = staying;
    std::erase(others, link);
    std::string why;
    const std::int64_t pool = LargestPoolOf(others);
    if (pool == 0) {
      why = "it is the last worker that takes sequences";
    } else if (pool < needed) {
      why = absl::StrCat("a request that may come to need ", needed,
                         " KV blocks fits nowhere else: the others have ", pool, " at most");
      leaving.blocks_short = needed;
    } else if (const absl::StatusOr<Placement> placement =
                   Place(state, others, state.placement, /*repair=*/false);
               !placement.ok()) {
      why = absl::StrCat("without it ", placement.status().message());
    }
    if (why.empty()) {
      leaving.can.push_back(link->id);
      staying = std::move(others);
    } else {
      leaving.cannot.emplace_back(link->id, std::move(why));
    }
  }
  return leaving;
}

std::int64_t MostBlocksNeeded(const CoordinatorState& state) {
  std::int64_t most = 0;
  for (const Request* request : state.requests.running()) {
    most = std::max(most, BlocksToTheEnd(*request));
  }
  for (const auto& [order, request] : state.requests.waiting()) {
    most = std::max(most, BlocksToTheEnd(*request));
  }
  return most;
}

std::int64_t LargestPool(const CoordinatorState& state) {
  Workers members;
  for (const auto& [id, link] : state.membership.links()) {
    if (link.member) members.push_back(&link);
  }
  Workers staying = members;
  std::erase_if(staying, [](const WorkerLink* link) { return link->draining; });
  const std::int64_t pool = LargestPoolOf(staying);
  return pool > 0 ? pool : LargestPoolOf(members);
}

std::string ExpertsWithoutOwner(const CoordinatorState& state) {
  int missing = 0, first_layer = 0, first_expert = 0;
  for (int layer = 0; layer < state.placement.moe_layers(); ++layer) {
    for (int expert = 0; expert < state.placement.experts(); ++expert) {
      const auto owners = state.placement.Owners(layer, expert);
      if (std::ranges::any_of(owners, [&](std::uint8_t slot) { return Lives(state, slot); })) {
        continue;
      }
      if (missing++ == 0) {
        first_layer = layer;
        first_expert = expert;
      }
    }
  }
  if (missing == 0) return "";
  return absl::StrCat(missing, " experts have no owner, the first is expert ", first_expert,
                      " of MoE layer ", first_layer);
}

}  // namespace conclave
