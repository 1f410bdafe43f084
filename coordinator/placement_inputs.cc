#include "coordinator/placement_inputs.h"

#include "base/check.h"
#include "coordinator/recent_load.h"

namespace conclave {
namespace {

// Rows per expert from which on loads are believed at all.
constexpr double kRowsMin = 16;

std::vector<double> SpeedsOf(const CoordinatorState& state,
                             const std::vector<const WorkerLink*>& workers) {
  std::vector<WorkerPace> paces;
  for (const WorkerLink* link : workers) {
    WorkerPace pace{.threads = link->hello.threads, .work = {}};
    if (link->member) pace.work = state.HomeAt(link->slot).expert_work;
    paces.push_back(pace);
  }
  return RelativeSpeeds(paces);
}

}  // namespace

PlacementInputs::PlacementInputs(const CoordinatorState& state,
                                 const std::vector<const WorkerLink*>& workers,
                                 const Placement* before) {
  CONCLAVE_CHECK(!workers.empty());
  const std::vector<double> speeds = SpeedsOf(state, workers);
  for (std::size_t i = 0; i < workers.size(); ++i) {
    const Hello& hello = workers[i]->hello;
    workers_.push_back({.slot = workers[i]->slot,
                        .memory_bytes = hello.expert_memory_bytes,
                        .home = hello.role == Role::kWorker,
                        .speed = speeds[i]});
  }
  const ModelFacts& facts = state.model.facts;
  ask_ = {.moe_layers = facts.moe_layers,
          .experts = facts.experts,
          .expert_bytes = workers.front()->hello.model.expert_bytes,
          .workers = workers_,
          .before = before,
          .replicas = state.config.expert_replicas};
  const double experts = static_cast<double>(facts.moe_layers) * facts.experts;
  const auto loads = state.recent_load.expert_rows();
  if (static_cast<double>(loads.size()) == experts && state.recent_load.rows() >= kRowsMin * experts) {
    ask_.loads = loads;
  }
}

std::vector<const WorkerLink*> Members(const CoordinatorState& state) {
  std::vector<const WorkerLink*> members;
  for (const Slot slot : state.live) members.push_back(state.membership.AtSlot(slot));
  return members;
}

}  // namespace conclave
