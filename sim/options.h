// What a simulated world is made of. A scenario makes one of these from a seed.
#pragma once

#include <vector>

#include "coordinator/core.h"
#include "protocol/control.h"

namespace conclave::sim {

struct NodeShape {
  Role role = Role::kWorker;
  int kv_blocks = 24;
  int rows_max = 64;
  Micros compute_max = 300;  // a phase's share of virtual time, at most
  Micros load_max = 20'000;
  Micros joins_at = 0;
};

struct WorkloadOptions {
  int requests = 8;
  Micros arrivals_within = 60'000;
  int prompt_max = 80;
  int output_max = 24;
  int prefixes = 2;       // beginnings that prompts share; 0: none
  int leave_percent = 5;  // clients that go before the end
  int deadline_percent = 5;
  int bad_percent = 5;       // asks that must be refused
  int stop_percent = 40;     // with stop ids or strings
  int details_percent = 15;  // prompt logprobs or routed experts
  int greedy_percent = 40;
  bool in_bursts = false;
};

struct FaultOptions {
  int crashes = 0;
};

struct SimOptions {
  CoordinatorConfig coordinator;
  std::vector<NodeShape> nodes;
  WorkloadOptions workload;
  FaultOptions faults;
  Micros link_delay_max = 500;  // between coordinator and workers
  Micros wire_delay_max = 300;  // between workers
  Micros client_delay_max = 500;
  Micros tick_every = 5'000;
  Micros time_max = 120'000'000;  // by then every request has ended
};

}  // namespace conclave::sim
