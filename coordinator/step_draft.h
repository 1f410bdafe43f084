// A step in the making: how many rows and KV blocks each worker has left, and what is in its part
// so far. Decides nothing but who gives way when a worker runs out of blocks; the order of things
// is the scheduler's.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "coordinator/state.h"
#include "protocol/plan.h"

namespace conclave {

struct WorkerDraft {
  Home* home = nullptr;
  WorkerPart part;
  std::vector<PlannedRow> rows;
  std::int32_t rows_left = 0;
  std::int32_t rows_kept = 0;  // of these, for understudies
  std::int32_t sequences = 0;  // here, understudies included
  std::int32_t promised = 0;   // blocks that known tokens of sequences here still need
  bool short_of_blocks = false;
};

// Room for a sequence, and what of its prefix is there.
struct Lodging {
  Slot slot;
  PrefixMatch match;
};

class StepDraft {
 public:
  StepDraft(CoordinatorState& state, Micros now);

  StepId step() const { return step_; }
  std::vector<WorkerDraft>& workers() { return workers_; }  // by live slot, rising
  WorkerDraft& At(Slot slot);
  bool Touched(const Stay& stay) const { return stay.planned_in == step_; }
  // Rows that may be planned now, in all and at one worker.
  std::int32_t rows_free() const { return rows_left_ - rows_kept_; }
  std::int32_t rows_left() const { return rows_left_; }
  std::int32_t RowsFree(const WorkerDraft& worker) const;
  void Keep(std::int32_t rows);  // of all; WorkerDraft::rows_kept of one
  void ReleaseKept();
  bool MayRunMore() const { return state_.requests.running().size() < running_max_; }

  // Counts sequences and promised blocks of every worker.
  void Recount();
  // The best home for all known tokens of the request, sharing `hits_max` blocks at most.
  std::optional<Lodging> FindHome(Request& request, std::int32_t hits_max);
  // Puts the stay there: shares its prefix, to be opened by its first chunk. Counts it.
  void Lodge(const Request& request, Stay& stay, Lodging lodging);

  // Plans the next positions of the request, as many as there is room for; the last known position
  // samples. Who is younger may have to give up blocks for it; it may be put back itself.
  void PlanChunk(Request& request);
  // The same for its understudy, up to its goal and as far as the pace of moves allows. False when
  // it found no block at all.
  bool PlanUnderstudy(Request& request);

  // The plan, moved into `in_flight` as if it had been sent. Nothing when it has no rows.
  std::optional<StepPlan> Finish();

 private:
  std::int32_t CountFor(const Stay& stay, std::int32_t wanted);
  std::int32_t TakeBlocks(Request& request, std::int32_t positions);
  bool MakeRoom(Request& request, WorkerDraft& worker);
  Request* YoungestUntouched(Slot slot);
  Request* YoungestUnderstudy(Slot slot);
  void Append(Request& request, Stay& stay, Chunk chunk);
  void Open(const Request& request, Stay& stay, WorkerDraft& worker);

  CoordinatorState& state_;
  const Micros now_;
  StepId step_;
  std::int32_t rows_left_ = 0;
  std::int32_t rows_kept_ = 0;
  std::int32_t moved_ = 0;  // rows of understudies so far
  std::size_t running_max_ = 0;
  std::vector<WorkerDraft> workers_;
  std::array<std::int32_t, kSlotsMax> index_{};
  bool any_ = false;
};

}  // namespace conclave
