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
  coordinator.first_rows = dice.Int(8, 160);
  coordinator.worker_rows_max = dice.Int(8, 64);
  coordinator.running_max = dice.Int(4, 32);
  coordinator.waiting_max = 64;
  coordinator.prefix_cache = dice.Percent(70);
  coordinator.plans_ahead = dice.Int(1, 2);
  if (dice.Percent(50)) coordinator.chunk_tokens = dice.Int(1, 40);
  if (dice.Percent(30)) coordinator.step_target = dice.Between(200, 20'000);
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
  options.workload.resume_percent = 10;
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

// A second or three in which things go wrong, then all is made whole. Limits are short, so that
// what they bring about shows.
SimOptions Troubled(Dice& dice, int nodes_max) {
  SimOptions options = Ordinary(dice, nodes_max);
  if (options.nodes.size() == 1 && dice.Percent(80)) {
    options.nodes.push_back(options.nodes.front());
    options.coordinator.workers_wanted = 2;
  }
  if (dice.Percent(15)) {
    options.nodes.push_back({.role = Role::kExpert, .kv_blocks = 0, .rows_max = 0});
    ++options.coordinator.workers_wanted;
  }
  if (dice.Percent(15)) {
    for (NodeShape& node : options.nodes) node.kv_blocks = node.role == Role::kWorker ? 5 : 0;
  }
  CoordinatorConfig& coordinator = options.coordinator;
  coordinator.wedge_limit = 1'500'000;
  coordinator.load_limit = 1'000'000;
  coordinator.gather_limit = 1'000'000;
  coordinator.move_limit = dice.Percent(50) ? 2'000'000 : 20'000;
  coordinator.hello_limit = 1'500'000;
  coordinator.unavailable_limit = dice.Percent(20) ? 700'000 : 10'000'000;
  options.faults.restart = true;
  options.faults.heals_at = dice.Between(100'000, 2'000'000);
  options.faults.within = options.faults.heals_at;
  options.workload.arrivals_within = options.faults.heals_at;
  options.workload.output_max = 40;
  options.workload.resume_percent = 5;
  return options;
}

// Each stands still for a while: some are given up, and come back.
SimOptions Hang(Dice& dice) {
  SimOptions options = Troubled(dice, 4);
  options.faults.hangs = dice.Int(1, 3);
  return options;
}

SimOptions Wedge(Dice& dice) {
  SimOptions options = Troubled(dice, 4);
  options.faults.wedges = dice.Int(1, 2);
  return options;
}

SimOptions Restart(Dice& dice) {
  SimOptions options = Troubled(dice, 5);
  options.faults.crashes = dice.Int(1, 5);
  return options;
}

SimOptions Control(Dice& dice) {
  SimOptions options = Troubled(dice, 4);
  options.faults.control_breaks = dice.Int(0, 2);
  options.faults.control_stalls = dice.Int(0, 2);
  options.faults.control_delays = dice.Int(0, 2);
  return options;
}

SimOptions Partition(Dice& dice) {
  SimOptions options = Troubled(dice, 4);
  options.faults.data_partitions = dice.Int(1, 2);
  options.faults.data_delays = dice.Int(0, 2);
  return options;
}

// The coordinator goes, clients and workers come back to the next one.
SimOptions Coordinator(Dice& dice) {
  SimOptions options = Troubled(dice, 4);
  options.faults.coordinator_restarts = dice.Int(1, 3);
  if (dice.Percent(30)) options.faults.crashes = 1;
  options.workload.resume_percent = 30;
  return options;
}

// Clients whose streams are cut ask for the rest; others ask twice.
SimOptions Resume(Dice& dice) {
  SimOptions options = Ordinary(dice, 3);
  options.workload.resume_percent = 60;
  options.workload.twice_percent = 25;
  options.workload.leave_percent = 15;
  options.workload.output_max = 40;
  return options;
}

// Newcomers that must not serve, beside one that may.
SimOptions BadJoin(Dice& dice) {
  SimOptions options = Troubled(dice, 3);
  const int more = dice.Int(1, 2);
  for (int i = 0; i < more; ++i) {
    NodeShape shape = options.nodes.front();
    shape.joins_at = dice.Between(30'000, options.faults.heals_at);
    constexpr Flaw kFlaws[] = {Flaw::kOtherModel, Flaw::kOtherNumerics, Flaw::kDiesLoading,
                               Flaw::kNoMemory, Flaw::kDeaf};
    shape.flaw = kFlaws[dice.Int(0, 4)];
    options.nodes.push_back(shape);
  }
  if (dice.Percent(50)) {
    NodeShape shape = options.nodes.front();
    shape.joins_at = dice.Between(30'000, options.faults.heals_at);
    options.nodes.push_back(shape);
  }
  return options;
}

// Workers come and leave, several at once, down to one and up to eight.
SimOptions Elastic(Dice& dice) {
  SimOptions options = Troubled(dice, 3);
  const int more = dice.Int(0, 8 - static_cast<int>(options.nodes.size()));
  for (int i = 0; i < more; ++i) {
    NodeShape shape = options.nodes.front();
    if (dice.Percent(20)) shape = {.role = Role::kExpert, .kv_blocks = 0, .rows_max = 0};
    shape.joins_at = dice.Between(5'000, options.faults.heals_at);
    options.nodes.push_back(shape);
  }
  // The first one stays, whichever others leave.
  for (std::size_t i = 1; i < options.nodes.size(); ++i) {
    NodeShape& shape = options.nodes[i];
    if (dice.Percent(50)) shape.leaves_at = dice.Between(shape.joins_at, options.faults.heals_at);
  }
  return options;
}

// Experts fit into few memories only, and loads fail.
SimOptions Memory(Dice& dice) {
  SimOptions options = Troubled(dice, 4);
  options.faults.failed_loads = dice.Int(0, 2);
  options.faults.crashes = dice.Int(0, 2);
  if (options.nodes.size() > 1 && dice.Percent(50)) options.nodes.back().expert_memory_bytes = 1;
  return options;
}

// An operator asks now and then for experts to be placed by load.
void AddRebalances(Dice& dice, SimOptions& options) {
  const int asks = dice.Int(1, 4);
  const Micros within = std::max<Micros>(options.faults.heals_at, 300'000);
  for (int i = 0; i < asks; ++i) options.rebalances_at.push_back(dice.Between(20'000, within));
}

// That, while workers come, leave and vanish.
SimOptions Rebalance(Dice& dice) {
  SimOptions options = dice.Percent(50) ? Elastic(dice) : Crash(dice);
  options.skewed = dice.Percent(50);
  options.coordinator.expert_replicas = dice.Int(1, 2);
  AddRebalances(dice, options);
  return options;
}

// A bit of everything at once.
SimOptions Storm(Dice& dice) {
  SimOptions options = Elastic(dice);
  FaultOptions& faults = options.faults;
  for (int* count : {&faults.crashes, &faults.hangs, &faults.wedges, &faults.control_breaks,
                     &faults.control_stalls, &faults.control_delays, &faults.data_partitions,
                     &faults.data_delays, &faults.failed_loads, &faults.coordinator_restarts}) {
    *count = dice.Percent(35) ? dice.Int(1, 2) : 0;
  }
  options.workload.resume_percent = 10;
  options.workload.twice_percent = 10;
  if (dice.Percent(50)) AddRebalances(dice, options);
  return options;
}

// Every token goes to the same experts.
SimOptions Skewed(Dice& dice) {
  SimOptions options = dice.Percent(50) ? Ordinary(dice, 5) : Crash(dice);
  options.skewed = true;
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
    {"resume", "clients whose streams are cut, who ask for the rest", Resume},
    {"skewed", "every token goes to the same experts", Skewed},
    {"join", "workers that come while others serve", Join},
    {"churn", "workers that come and vanish", Churn},
    {"crash", "workers that vanish at any moment", Crash},
    {"restart", "workers that vanish and come back with empty memory", Restart},
    {"hang", "workers that stand still, and go on as zombies", Hang},
    {"wedge", "workers that stand still while their hearts go on", Wedge},
    {"control", "control streams that break, stall or are slow", Control},
    {"partition", "frames that stop or are slow between two workers", Partition},
    {"coordinator", "the coordinator begins anew", Coordinator, 2},
    {"memory", "experts that find no memory", Memory},
    {"badjoin", "newcomers that must be refused", BadJoin, 2},
    {"elastic", "workers that join and drain, several at once", Elastic, 2},
    {"storm", "a bit of everything at once", Storm, 4},
    {"rebalance", "experts placed by load while workers come and go", Rebalance, 2},
};

}  // namespace

std::span<const Scenario> Scenarios() { return kScenarios; }

void ChooseArrivals(Dice dice, SimOptions& options) {
  const int least = static_cast<int>(options.nodes.size());
  options.coordinator.arrivals_least = least;
  if (dice.Percent(50)) return;
  for (NodeShape& node : options.nodes) node.arrivals_max = dice.Int(least, least + 30);
}

const Scenario& AnyScenario(Dice& dice) {
  int shares = 0;
  for (const Scenario& scenario : kScenarios) shares += scenario.share;
  int left = dice.Int(0, shares - 1);
  for (const Scenario& scenario : kScenarios) {
    if (left < scenario.share) return scenario;
    left -= scenario.share;
  }
  return kScenarios[0];
}

const Scenario* FindScenario(absl::string_view name) {
  const auto found = std::ranges::find(kScenarios, name, &Scenario::name);
  return found == std::end(kScenarios) ? nullptr : &*found;
}

}  // namespace conclave::sim
