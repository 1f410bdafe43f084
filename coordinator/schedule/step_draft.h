// A step in the making: what each worker's part holds so far, and what the worker may still be given.
// It keeps its counters true at every change and decides nothing but who gives up KV blocks when a
// worker runs out of them; the order of things is plan_step.h's.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "coordinator/schedule/budget.h"
#include "coordinator/schedule/choose_worker.h"
#include "coordinator/state.h"
#include "protocol/plan.h"

namespace conclave {

struct WorkerDraft {
  WorkerDraft(Home& member, const RowCost& cost, std::int32_t rows_most,
              std::int32_t sequences_most);

  Home* home;
  WorkerPart part;
  std::vector<PlannedRow> rows;
  WorkerBudget budget;
  const std::int32_t rows_max;       // of this worker in one step
  const std::int32_t sequences_max;  // each of them finds room for its decode row
  std::int32_t sequences = 0;        // that live here, migration targets included
  std::int32_t promised = 0;         // KV blocks that known tokens of these sequences still need
  std::int32_t tail_rows = 0;        // promised to migrations that end in this step
  std::int64_t open_tokens = 0;      // of the sequences that this part opens
  bool short_of_blocks = false;      // a sequence here found no KV block
};

class StepDraft {
 public:
  StepDraft(CoordinatorState& state, Micros now);

  StepId step() const { return step_; }
  CoordinatorState& state() { return state_; }
  const RowCost& cost() const { return cost_; }
  std::vector<WorkerDraft>& workers() { return workers_; }  // by live slot, rising
  WorkerDraft& At(Slot slot);
  bool Touched(const Stay& stay) const { return stay.planned_in == step_; }
  // Requests that have a migration target or got one in this step, oldest first. Those that were
  // put back since are in it still: ask for their understudy.
  std::vector<Request*>& migrating() { return migrating_; }
  bool draining() const { return draining_; }  // some member will leave

  // Puts a sequence on the worker: shares the known part of its prefix, at most `hits_max` blocks;
  // its first chunk opens it.
  void Lodge(const Request& request, Stay& stay, Slot slot, std::int32_t hits_max);
  // What state.h and migrate.h do to one request's sequences, with the counters kept true.
  void DropUnderstudy(Request& request);
  void Reopen(const Request& request, Stay& stay, std::int32_t keep);
  void TakeOver(Request& request, std::int32_t keep);

  // Sets what every worker's part may cost, once the decode rows are planned.
  void SetCostLimits();
  std::int64_t cost_limit() const { return cost_limit_; }  // of a worker with rows enough

  // Plans the next positions of the request, as many as there is room for; a chunk that this step
  // has of it already becomes longer. The last known position samples. Younger sequences may have to give up blocks for it; it may be put back itself.
  void PlanChunk(Request& request, RowUse use);
  // The same for its understudy, up to its goal. False when it found no block at all.
  bool PlanUnderstudy(Request& request);

  // The plan, moved into `in_flight` as if it had been sent. Nothing when it has no rows.
  std::optional<StepPlan> Finish();

  std::vector<HomeOffer>& offers() { return offers_; }  // scratch of choose_worker.cc

 private:
  void Count(const Request& request, const Stay& stay, std::int32_t sign);
  void CountRunning();
  std::int32_t CountFor(RowUse use, const Stay& stay, std::int32_t wanted);
  bool TakeBlock(const Request& request, Stay& stay);
  std::int32_t TakeBlocks(Request& request, std::int32_t positions);
  bool MakeRoom(Request& request, WorkerDraft& worker);
  void PutBack(Request& request);
  Request* YoungestUntouched(Slot slot);
  Request* YoungestUnderstudy(Slot slot);
  std::int32_t PlannedNow(const Stay& stay);
  void Append(Request& request, Stay& stay, Chunk chunk, RowUse use);
  void Put(const Request& request, const Stay& stay, Chunk chunk);
  void Open(const Request& request, Stay& stay, WorkerDraft& worker);
  std::int32_t RoundsOf(const StepPlan& plan) const;

  CoordinatorState& state_;
  const Micros now_;
  const RowCost cost_;
  StepId step_;
  std::vector<WorkerDraft> workers_;
  std::array<std::int32_t, kSlotsMax> index_{};
  std::vector<Request*> migrating_;
  std::vector<HomeOffer> offers_;
  std::int64_t cost_limit_ = 0;
  bool draining_ = false;
  bool any_ = false;
  bool decode_rows_ = false, prompts_ = false;  // what rows the plan has so far
};

}  // namespace conclave
