// What the coordinator is told once, at start: its limits, and the model that it serves.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "base/limits.h"
#include "protocol/control.h"

namespace conclave {

// When experts are placed anew by measured load.
enum class RebalanceMode : std::uint8_t {
  kAuto,    // when it clearly pays, and when an operator asks
  kManual,  // only when an operator asks
};

struct CoordinatorConfig {
  int workers_wanted = 1;     // the first epoch waits for so many (role kExpert included)
  // Rows of one worker in one step; a worker's own rows_max counts, too (<= kWorkerRowsMax).
  int worker_rows_max = kWorkerRowsMax;
  // A worker that takes fewer rows of others in a round is refused. In a cluster of n workers no
  // number of rounds fits one that takes fewer than n - 1: each of the others may send it a row.
  std::int32_t arrivals_least = kArrivalsLeast;
  // Sequences that live on one worker at once (<= kSequencesMax).
  int running_max = kSequencesMax;
  // The longest that a step with decode rows is to take; unset: see StepTime.
  std::optional<Micros> step_target;
  int first_rows = 64;  // rows of one worker in the first steps, before any was measured
  int waiting_max = 1024;     // requests queued; more are refused with RESOURCE_EXHAUSTED
  std::int64_t waiting_tokens_max = 8'000'000;  // prompt tokens queued in all
  bool prefix_cache = true;
  int plans_ahead = kPlansAheadMax;  // 1: wait for each result
  std::optional<int>
      chunk_tokens;         // a prompt's chunk is at most so long; unset: the budget decides
  int expert_replicas = 1;  // owners of each expert, memory permitting (<= kReplicasMax)
  RebalanceMode rebalance = RebalanceMode::kAuto;
  Micros rebalance_pause = 300'000'000;  // unasked, experts are placed anew no sooner after a change
  Micros heartbeat_limit = 700'000;
  // A worker with a step to run makes no progress for so long, or one that is to be ready neither
  // says so nor that it loads.
  Micros wedge_limit = 5'000'000;
  Micros link_limit = 1'000'000;     // a frame that was sent does not arrive for so long
  Micros evidence_wait = 50'000;     // a broken step: so long for the news of who is gone
  Micros connect_limit = 5'000'000;  // Connect to Connected
  Micros load_limit = 30'000'000;    // a load makes no progress for so long
  Micros gather_limit = 30'000'000;  // then fewer workers than wanted will do, if they can
  // The same when some of them have served before: this coordinator is new, not they. More than the
  // longest pause between two dials of a worker.
  Micros rejoin_limit = 3'000'000;
  Micros move_limit = 60'000'000;    // a drain waits so long for its sequences to be moved
  Micros hello_limit = 10'000'000;        // a link that has not said who it is goes
  Micros unavailable_limit = 30'000'000;  // requests wait so long for a cluster that is not there
};

// The model that the cluster serves. The sampling values are the defaults of its
// generation_config.json; unset: the API's own.
struct ServedModel {
  ModelFacts facts;
  std::vector<TokenId> eos_ids;
  std::optional<double> temperature, top_p, repetition_penalty;
  std::optional<int> top_k;
  std::int64_t context_per_row = 0;  // see RowCost; 0: context costs nothing
};

}  // namespace conclave
