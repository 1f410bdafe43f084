#include "sim/scenarios.h"

#include <algorithm>

namespace conclave::sim {
namespace {

// Everything moderate; what every scenario starts from.
SimOptions Ordinary(Dice& dice, int nodes_max) {
  SimOptions options;
  CoordinatorConfig& coordinator = options.coordinator;
  NodeShape shape;
  shape.kv_blocks = dice.Int(12, 48);
  const int nodes = dice.Int(1, nodes_max);
  for (int i = 0; i < nodes; ++i) {
    shape.rows_max = dice.Int(8, 64);
    // Some are slower than others.
    shape.compute_max = dice.Percent(20) ? 2'000 : 300;
    options.nodes.push_back(shape);
  }
  coordinator.workers_wanted = nodes;
  coordinator.step_rows_max = dice.Int(8, 160);
  coordinator.worker_rows_max = dice.Int(8, 64);
  coordinator.running_max = dice.Int(4, 32);
  coordinator.waiting_max = 64;
  coordinator.prefix_cache = dice.Percent(70);
  coordinator.plans_ahead = dice.Int(1, 2);
  if (dice.Percent(50)) coordinator.chunk_tokens = dice.Int(1, 40);
  options.workload.requests = dice.Int(2, 10);
  options.workload.in_bursts = dice.Percent(30);
  return options;
}

SimOptions Calm(Dice& dice) {
  SimOptions options = Ordinary(dice, 1);
  options.workload.leave_percent = 0;
  options.workload.deadline_percent = 0;
  return options;
}

SimOptions Mixed(Dice& dice) { return Ordinary(dice, 4); }

SimOptions Wide(Dice& dice) {
  SimOptions options = Ordinary(dice, 7);
  options.workload.requests = dice.Int(4, 12);
  return options;
}

SimOptions Experts(Dice& dice) {
  SimOptions options = Ordinary(dice, 3);
  const int more = dice.Int(1, 3);
  for (int i = 0; i < more; ++i) {
    options.nodes.push_back({.role = Role::kExpert, .kv_blocks = 0, .rows_max = 0});
  }
  options.coordinator.workers_wanted += more;
  return options;
}

SimOptions Preempt(Dice& dice) {
  SimOptions options = Ordinary(dice, 2);
  for (NodeShape& node : options.nodes) node.kv_blocks = 4;
  options.workload.prompt_max = 60;
  options.workload.output_max = 60;
  options.workload.requests = dice.Int(4, 10);
  options.workload.arrivals_within = 10'000;
  return options;
}

SimOptions Prefix(Dice& dice) {
  SimOptions options = Ordinary(dice, 3);
  options.coordinator.prefix_cache = true;
  for (NodeShape& node : options.nodes) node.kv_blocks = dice.Int(6, 16);
  const int blocks = options.nodes.front().kv_blocks;
  for (NodeShape& node : options.nodes) node.kv_blocks = blocks;
  options.workload.prompt_max = 150;
  options.workload.output_max = 12;
  options.workload.prefixes = dice.Int(1, 3);
  options.workload.details_percent = 4;
  return options;
}

SimOptions Burst(Dice& dice) {
  SimOptions options = Ordinary(dice, 2);
  options.coordinator.waiting_max = dice.Int(0, 6);
  options.coordinator.running_max = dice.Int(1, 4);
  options.workload.requests = dice.Int(8, 24);
  options.workload.prompt_max = 24;
  options.workload.output_max = 10;
  options.workload.in_bursts = true;
  return options;
}

SimOptions Leave(Dice& dice) {
  SimOptions options = Ordinary(dice, 3);
  options.workload.leave_percent = 50;
  options.workload.deadline_percent = 30;
  options.workload.output_max = 40;
  return options;
}

// A worker process is gone, at any moment; the others go on.
SimOptions Crash(Dice& dice) {
  SimOptions options = Ordinary(dice, 5);
  if (options.nodes.size() == 1) {
    options.nodes.push_back(options.nodes.front());
    options.coordinator.workers_wanted = 2;
  }
  if (dice.Percent(25)) {
    options.nodes.push_back({.role = Role::kExpert, .kv_blocks = 0, .rows_max = 0});
    ++options.coordinator.workers_wanted;
  }
  if (dice.Percent(25)) {
    for (NodeShape& node : options.nodes) node.kv_blocks = node.role == Role::kWorker ? 5 : 0;
  }
  options.faults.crashes = dice.Int(1, static_cast<int>(options.nodes.size()) - 1);
  options.workload.output_max = 40;
  return options;
}

// The cluster begins with fewer workers than come.
SimOptions Join(Dice& dice) {
  SimOptions options = Ordinary(dice, 2);
  const int more = dice.Int(1, 3);
  for (int i = 0; i < more; ++i) {
    NodeShape shape = options.nodes.front();
    if (dice.Percent(25)) shape = {.role = Role::kExpert, .kv_blocks = 0, .rows_max = 0};
    shape.joins_at = dice.Between(5'000, options.workload.arrivals_within * 3 / 2);
    options.nodes.push_back(shape);
  }
  options.workload.output_max = 40;
  return options;
}

// Workers come and vanish.
SimOptions Churn(Dice& dice) {
  SimOptions options = Join(dice);
  options.coordinator.workers_wanted = 1;
  options.faults.crashes = dice.Int(1, static_cast<int>(options.nodes.size()) - 1);
  return options;
}

constexpr Scenario kScenarios[] = {
    {"calm", "one worker, clients with patience", Calm},
    {"mixed", "up to four workers, a little of everything", Mixed},
    {"wide", "up to seven workers", Wide},
    {"experts", "workers that own experts only among the others", Experts},
    {"preempt", "too little KV memory for all who run", Preempt},
    {"prefix", "long prompts that begin alike", Prefix},
    {"burst", "more requests at once than the queue takes", Burst},
    {"leave", "clients that hang up, abort, or have a deadline", Leave},
    {"join", "workers that come while others serve", Join},
    {"churn", "workers that come and vanish", Churn},
    {"crash", "workers that vanish at any moment", Crash},
};

}  // namespace

std::span<const Scenario> Scenarios() { return kScenarios; }

const Scenario* FindScenario(absl::string_view name) {
  const auto found = std::ranges::find(kScenarios, name, &Scenario::name);
  return found == std::end(kScenarios) ? nullptr : &*found;
}

}  // namespace conclave::sim
