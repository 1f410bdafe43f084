// What the outside may know of the cluster at one moment: for status, metrics and readiness.
#pragma once

#include <array>
#include <cstdint>
#include <iterator>
#include <string>
#include <vector>

#include "base/ids.h"
#include "protocol/control.h"

namespace conclave {

struct WorkerStatus {
  Slot slot;
  std::string uuid;
  Role role = Role::kWorker;
  std::string state;  // "joining", "active", "draining", "suspect"
  std::string why;    // what it waits for, or what speaks against it; may be empty
  std::string address;
  std::string kernels;
  std::string kv_dtype;
  std::string exchange;
  int experts = 0;  // (MoE layer, expert) pairs it owns
  std::uint64_t expert_bytes = 0;
  int kv_blocks_used = 0;  // held by running sequences
  int kv_blocks_cached = 0;
  int kv_blocks_total = 0;
  double rows_per_second = 0;
  std::uint64_t rss_bytes = 0;
  std::uint64_t expert_rows = 0;                             // rows its experts ran since start
  std::vector<std::vector<std::uint16_t>> experts_by_layer;  // [MoE layer] rising ids
};

// Why an epoch was made.
enum class ChangeKind : std::uint8_t {
  kStart,       // nobody was there before
  kJoin,        // someone came
  kLeave,       // someone was drained
  kLoss,        // someone was lost or sent away
  kBrokenStep,  // a step broke, and everyone is still there
  kRebalance,   // experts were placed anew, or replicas made again
};
inline constexpr const char* kChangeKindNames[] = {"start", "join",        "leave",
                                                   "loss",  "broken_step", "rebalance"};
struct EpochChange {
  Epoch epoch;
  ChangeKind kind = ChangeKind::kStart;
  std::string cause;
  Micros at = 0;     // of Commit
  Micros pause = 0;  // from the last plan before it to Commit
  Micros total = 0;  // from the cause to Commit
};
// Upper bounds of EpochPauses::counts; the last count is of pauses beyond them all.
inline constexpr Micros kPauseBounds[] = {1'000,     2'000,     5'000,      10'000,    20'000,
                                          50'000,    100'000,   200'000,    500'000,   1'000'000,
                                          2'000'000, 5'000'000, 10'000'000, 60'000'000};
struct EpochPauses {
  std::array<std::uint64_t, std::size(kPauseBounds) + 1> counts{};
  Micros sum = 0;
};
// The change that is being made; `stage` is empty when none is.
struct ChangeStatus {
  std::string stage;  // "loading", "connecting", "moving", "stopping", "preparing"
  Epoch epoch;
  ChangeKind kind = ChangeKind::kStart;
  std::string cause;
  Micros since = 0;               // so long it has been under way
  std::vector<Slot> waiting_for;  // whose answer is missing; rising
};
inline constexpr std::size_t kRecentChangesMax = 16;

struct PhaseTotal {
  std::uint64_t micros = 0, bytes = 0, ops = 0;
};
struct ClusterStatus {
  Epoch epoch;
  bool ready = false;
  std::string not_ready_because;
  ModelFacts model;
  std::vector<WorkerStatus> workers;
  int requests_running = 0;
  int requests_waiting = 0;
  std::string last_epoch_cause;
  Micros last_epoch_micros = 0;
  ChangeStatus change;
  std::string change_given_up;      // why the last try to change was given up; empty after a change
  Micros change_retry_in = 0;       // then it is tried again
  std::vector<EpochChange> recent;  // the last kRecentChangesMax, oldest first
  // Since start, for metrics.
  std::array<std::uint64_t, std::size(kChangeKindNames)> changes{};  // by ChangeKind
  EpochPauses pauses;
  std::uint64_t steps = 0, prompt_tokens = 0, cached_prompt_tokens = 0, emitted_tokens = 0,
                preemptions = 0;
  std::uint64_t resumed = 0;   // asks that said resume_after
  std::uint64_t attached = 0;  // streams that took a live request over
  std::vector<std::uint64_t> endings;  // by End
  std::vector<PhaseTotal> phases;      // by index into kPhaseNames, summed over workers
  std::uint64_t bytes_sent = 0, bytes_received = 0;  // between workers, summed over them
  std::uint64_t bad_router_rows = 0;  // rows whose router logits are not numbers, once per layer
  std::vector<std::uint64_t> expert_rows;  // [MoE layer][expert], since start
};

}  // namespace conclave
