// What a simulated world is made of. A scenario makes one of these from a seed.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "coordinator/config.h"
#include "protocol/control.h"

namespace conclave::sim {

// What is wrong with a worker from the start: it must never serve, and nobody may suffer from it.
enum class Flaw : std::uint8_t {
  kNone,
  kOtherModel,     // its checkpoint is another
  kOtherNumerics,  // its kernels give other bits
  kDiesLoading,    // the process ends while it loads experts, each time
  kNoMemory,       // its loads end in ResourceExhausted
  kDeaf,           // frames of one peer never reach it
};

struct NodeShape {
  Role role = Role::kWorker;
  int kv_blocks = 24;
  int rows_max = 64;
  int arrivals_max = 256;    // rows of others in a round; small: a step takes several
  Micros compute_max = 300;  // a phase's share of virtual time, at most
  Micros load_max = 20'000;
  Micros joins_at = 0;
  std::uint64_t expert_memory_bytes = 0;  // 0: no limit
  std::optional<Micros> leaves_at;        // it is asked to drain, by SIGTERM or by an operator
  Flaw flaw = Flaw::kNone;
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
  int twice_percent = 3;   // asks again under the same name while the first lives
  int resume_percent = 0;  // loses its stream now and then and asks for the rest
  bool in_bursts = false;
};

// How many of each; where and when is the seed's choice. Whatever lasts ends at `heals_at`.
struct FaultOptions {
  int crashes = 0;
  int hangs = 0;
  int wedges = 0;
  int control_breaks = 0;   // control streams that end while both sides live
  int control_stalls = 0;   // nothing passes, one way or both
  int control_delays = 0;   // 10 to 400 ms more
  int data_partitions = 0;  // frames between two workers stop, one way or both
  int data_delays = 0;      // 10 to 400 ms more
  int failed_loads = 0;     // a load ends in ResourceExhausted, once
  int coordinator_restarts = 0;
  bool restart = false;  // crashed processes are started again, with empty memory
  Micros within = 90'000;
  Micros heals_at = 0;
  Micros bound = 30'000'000;  // after healing, until all requests have ended and the cluster is ready
  int total() const {
    return crashes + hangs + wedges + control_breaks + control_stalls + control_delays +
           data_partitions + data_delays + failed_loads + coordinator_restarts;
  }
};

struct SimOptions {
  CoordinatorConfig coordinator;
  std::vector<NodeShape> nodes;
  WorkloadOptions workload;
  FaultOptions faults;
  std::vector<Micros> rebalances_at;  // an operator asks for experts to be placed by load
  bool skewed = false;          // a model whose router sends every token to the same experts
  Micros link_delay_max = 500;  // between coordinator and workers
  Micros wire_delay_max = 300;  // between workers
  Micros client_delay_max = 500;
  Micros tick_every = 5'000;
  Micros exchange_timeout = 6'000'000;  // as the worker's edge has one
  Micros connect_timeout = 1'000'000;   // to hear every peer on a fresh endpoint
  Micros stuck_after = 20'000'000;      // a request that others overtake for longer is stuck
  Micros time_max = 120'000'000;        // by then every request has ended
};

}  // namespace conclave::sim
