#include "coordinator/schedule/step_draft.h"

#include <algorithm>
#include <span>
#include <utility>

#include "base/check.h"
#include "coordinator/schedule/migrate.h"
#include "protocol/rounds.h"

namespace conclave {
namespace {

std::int32_t BlocksFor(std::size_t positions) {
  return static_cast<std::int32_t>((positions + kKvBlockTokens - 1) / kKvBlockTokens);
}

std::int32_t Missing(const Request& request, const Stay& stay) {
  return std::max(
      0, BlocksFor(request.tokens.size()) - static_cast<std::int32_t>(stay.blocks.size()));
}

// The sequence uses every block of this worker's pool; a worker with a larger pool will take it.
bool Outgrown(const Request& request, const Home& home) {
  return request.blocks.size() == static_cast<std::size_t>(home.blocks.total()) &&
         request.planned == home.blocks.total() * kKvBlockTokens;
}

std::int32_t RoomIn(const Stay& stay) {
  return static_cast<std::int32_t>(stay.blocks.size()) * kKvBlockTokens - stay.planned;
}

}  // namespace

WorkerDraft::WorkerDraft(Home& member, const RowCost& cost, std::int32_t rows_most,
                         std::int32_t sequences_most)
    : home(&member),
      budget(cost, rows_most),
      rows_max(rows_most),
      sequences_max(std::max(1, std::min(rows_most, sequences_most))) {
  part.slot = member.slot;
}

StepDraft::StepDraft(CoordinatorState& state, Micros now)
    : state_(state), now_(now), cost_(state.model.context_per_row) {
  step_ = StepId{state.step_planned.value + 1};
  index_.fill(-1);
  workers_.reserve(state.live.size());
  for (const Slot slot : state.live) {
    Home& home = state.HomeAt(slot);
    index_[static_cast<std::size_t>(slot.value)] = static_cast<std::int32_t>(workers_.size());
    workers_.emplace_back(home, cost_, std::min(home.rows_max, state.config.worker_rows_max),
                          state.config.running_max);
    draining_ = draining_ || home.draining;
  }
  CountRunning();
}

WorkerDraft& StepDraft::At(Slot slot) {
  const std::int32_t at = index_[static_cast<std::size_t>(slot.value)];
  CONCLAVE_CHECK(at >= 0, "slot %d is not live", slot.value);
  return workers_[static_cast<std::size_t>(at)];
}

void StepDraft::Count(const Request& request, const Stay& stay, std::int32_t sign) {
  WorkerDraft& worker = At(stay.home);
  worker.sequences += sign;
  worker.promised += sign * Missing(request, stay);
}

void StepDraft::CountRunning() {
  for (Request* request : state_.requests.running()) {
    Count(*request, *request, 1);
    if (request->understudy == nullptr) continue;
    Count(*request, *request->understudy, 1);
    migrating_.push_back(request);
  }
  for (WorkerDraft& worker : workers_) {
    worker.rows.reserve(static_cast<std::size_t>(worker.sequences));
    worker.part.chunks.reserve(static_cast<std::size_t>(worker.sequences));
  }
}

void StepDraft::Lodge(const Request& request, Stay& stay, Slot slot, std::int32_t hits_max) {
  WorkerDraft& worker = At(slot);
  PrefixMatch match = worker.home->blocks.Find({.tokens = request.tokens,
                                                .hashes = request.hashes,
                                                .blocks_max = hits_max,
                                                .before = step_});
  for (const BlockId block : match.blocks) worker.home->blocks.Share(block);
  stay.home = slot;
  stay.planned = static_cast<std::int32_t>(match.blocks.size()) * kKvBlockTokens;
  stay.blocks = std::move(match.blocks);
  stay.chain = std::move(match.chain);
  stay.done = 0;
  stay.open_due = true;
  Count(request, stay, 1);
}

void StepDraft::DropUnderstudy(Request& request) {
  if (request.understudy == nullptr) return;
  Count(request, *request.understudy, -1);
  PutDownUnderstudy(state_, request);
}

void StepDraft::Reopen(const Request& request, Stay& stay, std::int32_t keep) {
  Count(request, stay, -1);
  conclave::Reopen(state_, stay, keep);
  Count(request, stay, 1);
}

void StepDraft::TakeOver(Request& request, std::int32_t keep) {
  Count(request, request, -1);
  Count(request, *request.understudy, -1);
  conclave::TakeOver(state_, request, keep);
  Count(request, request, 1);
}

void StepDraft::SetCostLimits() {
  cost_limit_ = state_.step_time.CostLimit(decode_rows_);
  for (WorkerDraft& worker : workers_) {
    worker.budget.SetCostLimit(std::min(cost_limit_, cost_.OfRows(worker.rows_max)));
  }
}

std::int32_t StepDraft::CountFor(RowUse use, const Stay& stay, std::int32_t wanted) {
  if (state_.config.chunk_tokens.has_value()) {
    wanted = std::min(wanted, std::max(1, *state_.config.chunk_tokens) - PlannedNow(stay));
  }
  return At(stay.home).budget.Fit(use, stay.planned, wanted);
}

void StepDraft::PlanChunk(Request& request, RowUse use) {
  std::int32_t count = CountFor(use, request, request.plannable());
  if (count <= 0) return;
  const std::int32_t have = RoomIn(request);
  if (have < count) count = std::min(count, have + TakeBlocks(request, count - have));
  if (count <= 0) return;
  const bool sample = request.planned + count == request.length_planned();
  Append(request, request, {.begin = request.planned, .count = count, .sample = sample}, use);
  request.in_flight += sample ? 1 : 0;
  if (!request.first_planned.has_value()) request.first_planned = now_;
}

bool StepDraft::PlanUnderstudy(Request& request) {
  Understudy& stay = *request.understudy;
  const std::int32_t pace =
      state_.step_time.MigrationRows() - At(stay.home).budget.migration_rows();
  std::int32_t count =
      CountFor(RowUse::kMigration, stay, std::min(stay.goal - stay.planned, pace));
  if (count <= 0) return true;
  while (RoomIn(stay) < count && TakeBlock(request, stay)) continue;
  count = std::min(count, RoomIn(stay));
  if (count <= 0) return false;
  Append(request, stay, {.begin = stay.planned, .count = count}, RowUse::kMigration);
  return true;
}

bool StepDraft::TakeBlock(const Request& request, Stay& stay) {
  WorkerDraft& worker = At(stay.home);
  const std::optional<BlockId> block = worker.home->blocks.Take();
  if (!block.has_value()) return false;
  worker.promised -= Missing(request, stay) > 0 ? 1 : 0;
  stay.blocks.push_back(*block);
  return true;
}

// Blocks for `positions` more; answers how many positions they hold, fewer when room is short.
std::int32_t StepDraft::TakeBlocks(Request& request, std::int32_t positions) {
  WorkerDraft& worker = At(request.home);
  std::int32_t got = 0;
  while (got < positions) {
    if (TakeBlock(request, request)) {
      got += kKvBlockTokens;
      continue;
    }
    worker.short_of_blocks = true;
    if (!MakeRoom(request, worker)) break;
    if (request.state != RequestState::kRunning) return 0;
  }
  return got;
}

// A sequence gives up its blocks there: an understudy, then the youngest that has no chunk in this
// step; false when no younger one than the request is left.
bool StepDraft::MakeRoom(Request& request, WorkerDraft& worker) {
  if (Request* moving = YoungestUnderstudy(worker.home->slot)) {
    DropUnderstudy(*moving);
    return true;
  }
  Request* youngest = YoungestUntouched(worker.home->slot);
  if (youngest == nullptr || youngest->order < request.order) return false;
  if (youngest == &request && !Outgrown(request, *worker.home)) return false;
  PutBack(*youngest);
  ++state_.totals.preemptions;
  return true;
}

void StepDraft::PutBack(Request& request) {
  DropUnderstudy(request);
  Count(request, request, -1);
  PutDown(state_, request);
  state_.requests.Wait(request);
}

Request* StepDraft::YoungestUntouched(Slot slot) {
  const std::vector<Request*>& running = state_.requests.running();
  for (auto request = running.rbegin(); request != running.rend(); ++request) {
    if ((*request)->home == slot && !Touched(**request)) return *request;
  }
  return nullptr;
}

Request* StepDraft::YoungestUnderstudy(Slot slot) {
  for (auto request = migrating_.rbegin(); request != migrating_.rend(); ++request) {
    const Understudy* stay = (*request)->understudy.get();
    if (stay != nullptr && stay->home == slot && !Touched(*stay)) return *request;
  }
  return nullptr;
}

void StepDraft::Append(Request& request, Stay& stay, Chunk chunk, RowUse use) {
  WorkerDraft& worker = At(stay.home);
  if (stay.open_due) Open(request, stay, worker);
  chunk.seq = stay.seq;
  chunk.new_blocks.assign(stay.blocks.begin() + stay.blocks_known, stay.blocks.end());
  stay.blocks_known = static_cast<std::int32_t>(stay.blocks.size());
  worker.budget.Spend(use, chunk.begin, chunk.count);
  const std::int32_t count = chunk.count;
  Put(request, stay, std::move(chunk));
  stay.planned += count;
  stay.planned_in = step_;
  any_ = true;
  decode_rows_ = decode_rows_ || use == RowUse::kDecode;
  prompts_ = prompts_ || (use != RowUse::kDecode && use != RowUse::kMigration);
  PublishBlocks(state_, request, stay);
}

// A sequence has one chunk in a step: what comes later makes it longer.
void StepDraft::Put(const Request& request, const Stay& stay, Chunk chunk) {
  WorkerDraft& worker = At(stay.home);
  if (!Touched(stay)) {
    worker.rows.push_back({.request = request.order.id,
                           .seq = stay.seq,
                           .begin = chunk.begin,
                           .count = chunk.count,
                           .sample = chunk.sample});
    worker.part.chunks.push_back(std::move(chunk));
    return;
  }
  const auto known = std::ranges::find(worker.part.chunks, stay.seq, &Chunk::seq);
  CONCLAVE_CHECK(known != worker.part.chunks.end() && known->begin + known->count == chunk.begin,
                 "sequence %llu has no chunk to go on with",
                 static_cast<unsigned long long>(stay.seq.value));
  known->count += chunk.count;
  known->sample = chunk.sample;
  known->new_blocks.insert(known->new_blocks.end(), chunk.new_blocks.begin(),
                           chunk.new_blocks.end());
  PlannedRow& row = worker.rows[static_cast<std::size_t>(known - worker.part.chunks.begin())];
  row.count = known->count;
  row.sample = known->sample;
}

// Positions of the sequence that this step has already.
std::int32_t StepDraft::PlannedNow(const Stay& stay) {
  if (!Touched(stay)) return 0;
  const auto known = std::ranges::find(At(stay.home).part.chunks, stay.seq, &Chunk::seq);
  return known == At(stay.home).part.chunks.end() ? 0 : known->count;
}

void StepDraft::Open(const Request& request, Stay& stay, WorkerDraft& worker) {
  stay.seq = SeqId{++state_.seq_opened.value};
  stay.open_due = false;
  const auto holding = static_cast<std::size_t>(stay.planned / kKvBlockTokens);
  SequenceOpen open{.seq = stay.seq,
                    .sampling = request.sampling,
                    .prompt_tokens = request.prompt_tokens,
                    .tokens = request.tokens};
  open.blocks.assign(stay.blocks.begin(),
                     stay.blocks.begin() + static_cast<std::ptrdiff_t>(holding));
  stay.blocks_known = static_cast<std::int32_t>(holding);
  worker.open_tokens += static_cast<std::int64_t>(request.tokens.size());
  worker.part.opens.push_back(std::move(open));
}

std::int32_t StepDraft::RoundsOf(const StepPlan& plan) const {
  std::array<std::int32_t, kSlotsMax> rows, arrivals_max;
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    rows[i] = static_cast<std::int32_t>(plan.parts[i].rows());
    arrivals_max[i] = workers_[i].home->arrivals_max;
  }
  return RoundsFor(std::span(rows).first(workers_.size()),
                   std::span(arrivals_max).first(workers_.size()));
}

std::optional<StepPlan> StepDraft::Finish() {
  if (!any_) return std::nullopt;
  StepPlan plan{.epoch = state_.epoch, .step = step_, .parts = {}};
  PlannedStep planned{.step = step_, .planned = now_, .parts = {}};
  planned.measured.decode_rows = decode_rows_;
  planned.measured.prompts = prompts_;
  plan.parts.reserve(workers_.size());
  planned.parts.reserve(workers_.size());
  for (WorkerDraft& worker : workers_) {
    const WorkerBudget& budget = worker.budget;
    StepTime::Measured& most = planned.measured;
    most.cost = std::max(most.cost, budget.cost_used());
    most.cost_other = std::max(most.cost_other, budget.cost_other());
    most.migration_rows = std::max(most.migration_rows, budget.migration_rows());
    worker.part.closes = std::exchange(worker.home->closes_due, {});
    PlannedPart part{.slot = worker.home->slot, .closes = worker.part.closes};
    for (const SequenceOpen& open : worker.part.opens) part.opens.push_back(open.seq);
    part.rows = std::move(worker.rows);
    planned.parts.push_back(std::move(part));
    plan.parts.push_back(std::move(worker.part));
  }
  plan.rounds = RoundsOf(plan);
  planned.answers_missing = static_cast<int>(planned.parts.size());
  state_.step_planned = step_;
  state_.in_flight.push_back(std::move(planned));
  return plan;
}

}  // namespace conclave
