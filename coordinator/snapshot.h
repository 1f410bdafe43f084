// The cluster as threads other than the strand see it: an immutable picture that the strand
// publishes after each batch of events (docs/decisions/0018-published-snapshot.md). A reader holds
// one pointer, so it can never see half of a change. Parts that did not change are shared with
// earlier snapshots, which makes a new one cheap; everything that grows with layers x experts is
// computed by the reader.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/cluster_status.h"
#include "coordinator/events.h"
#include "protocol/placement.h"

namespace conclave {

// What a worker said of itself in Hello. It is the same from Hello until its link ends.
struct WorkerDescription {
  LinkId link;
  Slot slot;
  std::string uuid;
  Role role = Role::kWorker;
  std::string address;
  std::string kernels;
  std::string kv_dtype;
  std::string exchange;
  int kv_blocks_total = 0;  // 0 for role expert
};

// How a worker is doing, as of MembersSnapshot::taken.
struct WorkerSnapshot {
  std::shared_ptr<const WorkerDescription> description;
  std::string state;    // as in WorkerStatus
  std::string why;      // as in WorkerStatus
  bool member = false;  // of the committed epoch; the numbers below are 0 when it is not
  int kv_blocks_used = 0;
  int kv_blocks_cached = 0;
  double rows_per_second = 0;
  std::uint64_t expert_rows = 0;
  std::uint64_t expert_bytes = 0;
  std::uint64_t rss_bytes = 0;
};

// The workers and the change that is under way. Taken anew at every tick, and after every event
// that may concern more than the requests.
struct MembersSnapshot {
  Micros taken = 0;
  std::string not_ready_because;
  std::vector<WorkerSnapshot> workers;  // rising slot
  ChangeStatus change;                  // `since` counts up to `taken`
  std::string change_given_up;
  Micros change_retry_at = 0;  // on the events' clock; it counts when `change_given_up` is not empty
};

struct ClusterSnapshot {
  // Exact at `taken`, on the events' clock.
  Micros taken = 0;
  Epoch epoch;
  bool ready = false;
  int requests_running = 0;
  int requests_waiting = 0;
  std::int64_t kv_blocks_used = 0;   // over all members, held by sequences
  std::int64_t kv_blocks_total = 0;  // over all members
  std::uint64_t steps = 0, prompt_tokens = 0, cached_prompt_tokens = 0, emitted_tokens = 0,
                preemptions = 0, resumed = 0, attached = 0, bytes_sent = 0, bytes_received = 0,
                bad_router_rows = 0;
  std::array<std::uint64_t, static_cast<std::size_t>(End::kInternal) + 1> endings{};
  std::array<PhaseTotal, std::size(kPhaseNames)> phases{};
  std::array<std::uint64_t, std::size(kChangeKindNames)> changes{};
  EpochPauses pauses;
  Micros last_epoch_micros = 0;

  Placement placement;  // of `epoch`; shares its tables with all copies
  // None of these is ever null.
  std::shared_ptr<const ModelFacts> model;
  std::shared_ptr<const MembersSnapshot> members;
  std::shared_ptr<const std::vector<EpochChange>> recent;        // of `epoch`, oldest first
  std::shared_ptr<const std::vector<std::uint64_t>> expert_rows;  // at most kExpertRowsAge old
};
// The table of expert rows has layers x experts numbers, so it is copied this often at most.
inline constexpr Micros kExpertRowsAge = 100'000;

// Everything that the snapshot says, spelt out, as of `now`. With `experts_by_layer` left out,
// WorkerStatus::experts_by_layer stays empty (its vectors are most of the work).
enum class ExpertLists : std::uint8_t { kOmit, kInclude };
ClusterStatus StatusFrom(const ClusterSnapshot& snapshot, Micros now, ExpertLists lists);

}  // namespace conclave
