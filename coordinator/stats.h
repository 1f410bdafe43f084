// The state as snapshots for readers on other threads, and rates over time.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "base/limits.h"
#include "coordinator/snapshot.h"
#include "coordinator/state.h"

namespace conclave {

// Takes snapshots of one state and shares between them what did not change. A snapshot costs the
// strand one small allocation and a walk over the members' KV pools; a new picture of the members
// costs a walk over all that is known of them.
class SnapshotTaker {
 public:
  // `members_changed`: something that concerns the members has happened since the last snapshot.
  // A false one is safe only after events that leave them as they were (steps, heartbeats, clients).
  std::shared_ptr<const ClusterSnapshot> Take(const CoordinatorState& state, Micros now,
                                              bool members_changed);

 private:
  // What a step's end can change about the members besides their numbers.
  struct MembersKey {
    Epoch epoch;
    std::size_t state = 0;  // which of Reconfig::state it is
    int stage = -1;         // of the staged change; -1: there is none
    bool may_plan = false;
    bool ready = false;
    std::size_t links = 0;
    friend bool operator==(const MembersKey&, const MembersKey&) = default;
  };
  void TakeMembers(const CoordinatorState& state, Micros now);

  std::shared_ptr<const ModelFacts> model_;
  std::shared_ptr<const MembersSnapshot> members_;
  MembersKey key_;  // when `members_` was taken
  std::array<std::shared_ptr<const WorkerDescription>, kSlotsMax> descriptions_;  // by slot
  Epoch epoch_;  // of `recent_`
  std::shared_ptr<const std::vector<EpochChange>> recent_;
  std::shared_ptr<const std::vector<std::uint64_t>> expert_rows_;
  std::uint64_t expert_rows_in_all_ = 0;  // when `expert_rows_` was taken
  Micros expert_rows_taken_ = 0;
};

bool IsReady(const CoordinatorState& state);  // O(1)
// Rows per second of each worker, over the last second or so.
void SampleRates(CoordinatorState& state, Micros now);

}  // namespace conclave
