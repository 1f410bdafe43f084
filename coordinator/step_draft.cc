#include "coordinator/step_draft.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "coordinator/balance.h"

namespace conclave {
namespace {

std::int32_t BlocksFor(std::int32_t positions) {
  return (positions + kKvBlockTokens - 1) / kKvBlockTokens;
}

std::int32_t Missing(const Request& request, const Stay& stay) {
  return std::max(0, BlocksFor(static_cast<std::int32_t>(request.tokens.size())) -
                         static_cast<std::int32_t>(stay.blocks.size()));
}

// It has filled the whole of a small pool; a larger one will take it.
bool Outgrown(const Request& request, const Home& home) {
  return request.blocks.size() == static_cast<std::size_t>(home.blocks.total()) &&
         request.planned == home.blocks.total() * kKvBlockTokens;
}

std::int32_t RoomIn(const Stay& stay) {
  return static_cast<std::int32_t>(stay.blocks.size()) * kKvBlockTokens - stay.planned;
}

}  // namespace

StepDraft::StepDraft(CoordinatorState& state, Micros now) : state_(state), now_(now) {
  step_ = StepId{state.step_planned.value + 1};
  rows_left_ = std::min(state.config.step_rows_max, kStepRowsMax);
  index_.fill(-1);
  workers_.resize(state.live.size());
  bool draining = false;
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    Home& home = state.HomeAt(state.live[i]);
    index_[static_cast<std::size_t>(home.slot.value)] = static_cast<std::int32_t>(i);
    workers_[i].home = &home;
    workers_[i].part.slot = home.slot;
    workers_[i].rows_left = std::min(home.rows_max, state.config.worker_rows_max);
    // Every row may have an expert on every worker.
    rows_left_ = std::min(rows_left_, home.arrivals_max);
    draining = draining || home.draining;
  }
  // Every sequence must find room for its decode row, and moves for one of theirs.
  running_max_ = static_cast<std::size_t>(
      std::max(1, std::min(state.config.running_max, rows_left_ - (draining ? 1 : 0))));
}

WorkerDraft& StepDraft::At(Slot slot) {
  const std::int32_t at = index_[static_cast<std::size_t>(slot.value)];
  CONCLAVE_CHECK(at >= 0, "slot %d is not live", slot.value);
  return workers_[static_cast<std::size_t>(at)];
}

std::int32_t StepDraft::RowsFree(const WorkerDraft& worker) const {
  return std::min(worker.rows_left - worker.rows_kept, rows_free());
}

void StepDraft::Keep(std::int32_t rows) { rows_kept_ = std::min(rows, rows_left_); }

void StepDraft::ReleaseKept() {
  rows_kept_ = 0;
  for (WorkerDraft& worker : workers_) worker.rows_kept = 0;
}

void StepDraft::Recount() {
  for (WorkerDraft& worker : workers_) worker.sequences = worker.promised = 0;
  const auto count = [&](const Request& request, const Stay& stay) {
    WorkerDraft& worker = At(stay.home);
    ++worker.sequences;
    worker.promised += Missing(request, stay);
  };
  for (const Request* request : state_.requests.running()) {
    count(*request, *request);
    if (request->understudy != nullptr) count(*request, *request->understudy);
  }
}

std::optional<Lodging> StepDraft::FindHome(Request& request, std::int32_t hits_max) {
  request.UpdateHashes();
  const auto tokens = static_cast<std::int32_t>(request.tokens.size());
  // One that said how long it may get goes where it fits to the end; any other may have to move.
  const std::int32_t blocks_least =
      BlocksFor(request.max_tokens_given ? request.length_max - 1 : tokens);
  std::vector<HomeOffer> offers;
  std::vector<PrefixMatch> matches;
  for (const WorkerDraft& worker : workers_) {
    const Home& home = *worker.home;
    if (!home.TakesSequences() || worker.short_of_blocks || RowsFree(worker) <= 0) continue;
    if (worker.sequences >= std::min(home.rows_max, state_.config.worker_rows_max)) continue;
    if (home.blocks.total() < blocks_least) continue;
    PrefixMatch match = home.blocks.Find({.tokens = request.tokens,
                                          .hashes = request.hashes,
                                          .blocks_max = hits_max,
                                          .before = step_});
    const auto hit_blocks = static_cast<std::int32_t>(match.blocks.size());
    const std::int32_t need = BlocksFor(tokens) - hit_blocks + match.idle;
    if (home.blocks.available() - worker.promised < need) continue;
    offers.push_back({.slot = home.slot,
                      .hit_blocks = hit_blocks,
                      .sequences = worker.sequences,
                      .held = home.blocks.held(),
                      .total = home.blocks.total()});
    matches.push_back(std::move(match));
  }
  const std::optional<std::size_t> chosen = ChooseHome(offers);
  if (!chosen.has_value()) return std::nullopt;
  return Lodging{offers[*chosen].slot, std::move(matches[*chosen])};
}

void StepDraft::Lodge(const Request& request, Stay& stay, Lodging lodging) {
  WorkerDraft& worker = At(lodging.slot);
  for (const BlockId block : lodging.match.blocks) worker.home->blocks.Share(block);
  stay.home = lodging.slot;
  stay.planned = static_cast<std::int32_t>(lodging.match.blocks.size()) * kKvBlockTokens;
  stay.blocks = std::move(lodging.match.blocks);
  stay.chain = std::move(lodging.match.chain);
  stay.done = 0;
  stay.open_due = true;
  ++worker.sequences;
  worker.promised += Missing(request, stay);
}

std::int32_t StepDraft::CountFor(const Stay& stay, std::int32_t wanted) {
  const std::int32_t count = std::min(wanted, RowsFree(At(stay.home)));
  if (!state_.config.chunk_tokens.has_value()) return count;
  return std::min(count, std::max(1, *state_.config.chunk_tokens));
}

void StepDraft::PlanChunk(Request& request) {
  std::int32_t count = CountFor(request, request.plannable());
  if (count <= 0) return;
  const std::int32_t have = RoomIn(request);
  if (have < count) count = std::min(count, have + TakeBlocks(request, count - have));
  if (count <= 0) return;
  const bool sample = request.planned + count == request.length_planned();
  Append(request, request, {.begin = request.planned, .count = count, .sample = sample});
  request.in_flight += sample ? 1 : 0;
  if (!request.first_planned.has_value()) request.first_planned = now_;
}

bool StepDraft::PlanUnderstudy(Request& request) {
  Understudy& stay = *request.understudy;
  const std::int32_t pace = state_.move_pace.rows() - moved_;
  std::int32_t count = CountFor(stay, std::min(stay.goal - stay.planned, pace));
  if (count <= 0) return true;
  KvBlocks& blocks = At(stay.home).home->blocks;
  while (RoomIn(stay) < count) {
    const std::optional<BlockId> block = blocks.Take();
    if (!block.has_value()) break;
    stay.blocks.push_back(*block);
  }
  count = std::min(count, RoomIn(stay));
  if (count <= 0) return false;
  Append(request, stay, {.begin = stay.planned, .count = count});
  moved_ += count;
  return true;
}

// Blocks for `positions` more; answers how many positions they hold, fewer when room is short.
std::int32_t StepDraft::TakeBlocks(Request& request, std::int32_t positions) {
  WorkerDraft& worker = At(request.home);
  std::int32_t got = 0;
  while (got < positions) {
    if (const std::optional<BlockId> block = worker.home->blocks.Take()) {
      request.blocks.push_back(*block);
      got += kKvBlockTokens;
      continue;
    }
    worker.short_of_blocks = true;
    if (!MakeRoom(request, worker)) break;
    if (request.state != RequestState::kRunning) return 0;
  }
  return got;
}

// Somebody gives up blocks there: an understudy, then the youngest; false when that is who asks.
bool StepDraft::MakeRoom(Request& request, WorkerDraft& worker) {
  if (Request* moving = YoungestUnderstudy(worker.home->slot)) {
    PutDownUnderstudy(state_, *moving);
    return true;
  }
  Request* youngest = YoungestUntouched(worker.home->slot);
  CONCLAVE_CHECK(youngest != nullptr, "the asking sequence itself is untouched");
  if (youngest == &request && !Outgrown(request, *worker.home)) return false;
  PutDown(state_, *youngest);
  state_.requests.Wait(*youngest);
  ++state_.totals.preemptions;
  return true;
}

Request* StepDraft::YoungestUntouched(Slot slot) {
  const std::vector<Request*>& running = state_.requests.running();
  for (auto request = running.rbegin(); request != running.rend(); ++request) {
    if ((*request)->home == slot && !Touched(**request)) return *request;
  }
  return nullptr;
}

Request* StepDraft::YoungestUnderstudy(Slot slot) {
  const std::vector<Request*>& running = state_.requests.running();
  for (auto request = running.rbegin(); request != running.rend(); ++request) {
    const Understudy* stay = (*request)->understudy.get();
    if (stay != nullptr && stay->home == slot && !Touched(*stay)) return *request;
  }
  return nullptr;
}

void StepDraft::Append(Request& request, Stay& stay, Chunk chunk) {
  WorkerDraft& worker = At(stay.home);
  if (stay.open_due) Open(request, stay, worker);
  chunk.seq = stay.seq;
  chunk.new_blocks.assign(stay.blocks.begin() + stay.blocks_known, stay.blocks.end());
  stay.blocks_known = static_cast<std::int32_t>(stay.blocks.size());
  worker.rows.push_back({.request = request.order.id,
                         .seq = stay.seq,
                         .begin = chunk.begin,
                         .count = chunk.count,
                         .sample = chunk.sample});
  stay.planned += chunk.count;
  stay.planned_in = step_;
  worker.rows_left -= chunk.count;
  rows_left_ -= chunk.count;
  any_ = true;
  worker.part.chunks.push_back(std::move(chunk));
  PublishBlocks(state_, stay, request.tokens);
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
  worker.part.opens.push_back(std::move(open));
}

std::optional<StepPlan> StepDraft::Finish() {
  if (!any_) return std::nullopt;
  StepPlan plan{.epoch = state_.epoch, .step = step_, .parts = {}};
  PlannedStep planned{.step = step_, .planned = now_, .moved = moved_, .parts = {}};
  for (WorkerDraft& worker : workers_) {
    worker.part.closes = std::exchange(worker.home->closes_due, {});
    PlannedPart part{.slot = worker.home->slot, .closes = worker.part.closes};
    for (const SequenceOpen& open : worker.part.opens) part.opens.push_back(open.seq);
    part.rows = std::move(worker.rows);
    planned.parts.push_back(std::move(part));
    plan.parts.push_back(std::move(worker.part));
  }
  planned.answers_missing = static_cast<int>(planned.parts.size());
  state_.step_planned = step_;
  state_.in_flight.push_back(std::move(planned));
  return plan;
}

}  // namespace conclave
