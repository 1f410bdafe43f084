#include "coordinator/scheduler.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "coordinator/balance.h"

namespace conclave {
namespace {

std::int32_t BlocksFor(std::int32_t positions) {
  return (positions + kKvBlockTokens - 1) / kKvBlockTokens;
}

// One worker's part in the making.
struct Draft {
  Home* home = nullptr;
  WorkerPart part;
  std::vector<PlannedRow> rows;
  std::int32_t rows_left = 0;
  std::int32_t sequences = 0;  // running here
  std::int32_t promised = 0;   // blocks that known tokens of sequences here still need
  bool short_of_blocks = false;
};

class Planner {
 public:
  Planner(CoordinatorState& state, Micros now) : state_(state), now_(now) {
    step_ = StepId{state.step_planned.value + 1};
    rows_left_ = std::min(state.config.step_rows_max, kRowsPerStepMax);
    index_.fill(-1);
    drafts_.resize(state.live.size());
    for (std::size_t i = 0; i < drafts_.size(); ++i) {
      Home& home = state.HomeAt(state.live[i]);
      index_[static_cast<std::size_t>(home.slot.value)] = static_cast<std::int32_t>(i);
      drafts_[i].home = &home;
      drafts_[i].part.slot = home.slot;
      drafts_[i].rows_left = std::min(home.rows_max, state.config.worker_rows_max);
      // Every row may have an expert on every worker.
      rows_left_ = std::min(rows_left_, home.arrivals_max);
    }
    // Every sequence must find room for its decode row.
    running_max_ =
        static_cast<std::size_t>(std::max(1, std::min(state.config.running_max, rows_left_)));
  }

  std::optional<StepPlan> Plan() {
    PlanRunning(/*decoding=*/true);
    PlanRunning(/*decoding=*/false);
    OpenWaiting();
    if (!any_) return std::nullopt;
    return Finish();
  }

 private:
  Draft& DraftOf(const Request& request) {
    const std::int32_t at = index_[static_cast<std::size_t>(request.home.value)];
    CONCLAVE_CHECK(at >= 0, "slot %d is not live", request.home.value);
    return drafts_[static_cast<std::size_t>(at)];
  }

  // Indices, not iterators: taking blocks may put a younger request back into the queue.
  void PlanRunning(bool decoding) {
    const std::vector<Request*>& running = state_.requests.running();
    for (std::size_t i = 0; i < running.size() && rows_left_ > 0; ++i) {
      Request& request = *running[i];
      if (request.planned_in == step_ || request.plannable() <= 0) continue;
      if (decoding != (request.decoding() && !request.open_due)) continue;
      PlanChunk(request);
    }
  }

  void PlanChunk(Request& request) {
    Draft& draft = DraftOf(request);
    std::int32_t count = std::min({request.plannable(), draft.rows_left, rows_left_});
    if (state_.config.chunk_tokens.has_value()) {
      count = std::min(count, std::max(1, *state_.config.chunk_tokens));
    }
    if (count <= 0) return;
    const std::int32_t have =
        static_cast<std::int32_t>(request.blocks.size()) * kKvBlockTokens - request.planned;
    if (have < count) count = std::min(count, have + TakeBlocks(request, count - have, draft));
    if (count <= 0) return;
    Append(request, count, draft);
  }

  // Blocks for `positions` more; answers how many positions they hold, fewer when room is short.
  std::int32_t TakeBlocks(Request& request, std::int32_t positions, Draft& draft) {
    std::int32_t got = 0;
    while (got < positions) {
      const std::optional<BlockId> block = draft.home->blocks.Take();
      if (block.has_value()) {
        request.blocks.push_back(*block);
        got += kKvBlockTokens;
        continue;
      }
      draft.short_of_blocks = true;
      Request* youngest = YoungestUntouched(draft.home->slot);
      CONCLAVE_CHECK(youngest != nullptr, "the asking sequence itself is untouched");
      if (youngest == &request && !Outgrown(request, *draft.home)) break;
      Preempt(*youngest);
      if (youngest == &request) return 0;
    }
    return got;
  }

  // It has filled the whole of a small pool; a larger one will take it.
  static bool Outgrown(const Request& request, const Home& home) {
    return request.blocks.size() == static_cast<std::size_t>(home.blocks.total()) &&
           request.planned == home.blocks.total() * kKvBlockTokens;
  }

  Request* YoungestUntouched(Slot slot) {
    const std::vector<Request*>& running = state_.requests.running();
    for (auto request = running.rbegin(); request != running.rend(); ++request) {
      if ((*request)->home == slot && (*request)->planned_in != step_) return *request;
    }
    return nullptr;
  }

  void Preempt(Request& request) {
    PutDown(state_, request);
    state_.requests.Wait(request);
    ++state_.totals.preemptions;
  }

  void Append(Request& request, std::int32_t count, Draft& draft) {
    if (request.open_due) Open(request, draft);
    Chunk chunk{.seq = request.seq, .begin = request.planned, .count = count};
    chunk.sample = request.planned + count == request.length_planned();
    chunk.new_blocks.assign(request.blocks.begin() + request.blocks_known, request.blocks.end());
    request.blocks_known = static_cast<std::int32_t>(request.blocks.size());
    draft.rows.push_back({.request = request.order.id,
                          .seq = request.seq,
                          .begin = chunk.begin,
                          .count = count,
                          .sample = chunk.sample});
    request.planned += count;
    request.in_flight += chunk.sample ? 1 : 0;
    request.planned_in = step_;
    if (!request.first_planned.has_value()) request.first_planned = now_;
    draft.part.chunks.push_back(std::move(chunk));
    draft.rows_left -= count;
    rows_left_ -= count;
    any_ = true;
    PublishBlocks(state_, request);
  }

  void Open(Request& request, Draft& draft) {
    request.seq = SeqId{++state_.seq_opened.value};
    request.open_due = false;
    const auto holding = static_cast<std::size_t>(request.planned / kKvBlockTokens);
    SequenceOpen open{.seq = request.seq,
                      .sampling = request.sampling,
                      .prompt_tokens = request.prompt_tokens,
                      .tokens = request.tokens};
    open.blocks.assign(request.blocks.begin(),
                       request.blocks.begin() + static_cast<std::ptrdiff_t>(holding));
    request.blocks_known = static_cast<std::int32_t>(holding);
    draft.part.opens.push_back(std::move(open));
  }

  void OpenWaiting() {
    if (state_.requests.waiting().empty() || rows_left_ <= 0) return;
    for (const Request* request : state_.requests.running()) {
      Draft& draft = DraftOf(*request);
      ++draft.sequences;
      draft.promised += std::max(0, BlocksFor(static_cast<std::int32_t>(request->tokens.size())) -
                                        static_cast<std::int32_t>(request->blocks.size()));
    }
    auto next = state_.requests.waiting().begin();
    while (next != state_.requests.waiting().end() && rows_left_ > 0 &&
           state_.requests.running().size() < running_max_) {
      Request& request = *(next++)->second;
      // The token it was last asked for is still on its way: next time.
      if (request.in_flight > 0) continue;
      // First come, first served: nobody overtakes who finds no room.
      if (!OpenOne(request)) break;
    }
  }

  bool OpenOne(Request& request) {
    request.UpdateHashes();
    const auto tokens = static_cast<std::int32_t>(request.tokens.size());
    // The last token's logits are needed, so it is always run.
    const std::int32_t hits_max = request.NeedsEveryPosition() ? 0 : (tokens - 1) / kKvBlockTokens;
    // One that said how long it may get goes where it fits to the end; any other may have to move.
    const std::int32_t blocks_least =
        BlocksFor(request.max_tokens_given ? request.length_max - 1 : tokens);
    std::vector<HomeOffer> offers;
    std::vector<PrefixMatch> matches;
    for (const Draft& draft : drafts_) {
      if (!draft.home->TakesSequences() || draft.short_of_blocks || draft.rows_left <= 0) continue;
      if (draft.sequences >= RowsMax(*draft.home)) continue;
      if (draft.home->blocks.total() < blocks_least) continue;
      PrefixMatch match = draft.home->blocks.Find({.tokens = request.tokens,
                                                   .hashes = request.hashes,
                                                   .blocks_max = hits_max,
                                                   .before = step_});
      const auto hit_blocks = static_cast<std::int32_t>(match.blocks.size());
      const std::int32_t need = BlocksFor(tokens) - hit_blocks + match.idle;
      if (draft.home->blocks.available() - draft.promised < need) continue;
      offers.push_back({.slot = draft.home->slot,
                        .hit_blocks = hit_blocks,
                        .sequences = draft.sequences,
                        .held = draft.home->blocks.held(),
                        .total = draft.home->blocks.total()});
      matches.push_back(std::move(match));
    }
    const std::optional<std::size_t> chosen = ChooseHome(offers);
    if (!chosen.has_value()) return false;
    MoveIn(request, offers[*chosen].slot, std::move(matches[*chosen]));
    return true;
  }

  std::int32_t RowsMax(const Home& home) const {
    return std::min(home.rows_max, state_.config.worker_rows_max);
  }

  void MoveIn(Request& request, Slot slot, PrefixMatch match) {
    request.home = slot;
    Draft& draft = DraftOf(request);
    for (const BlockId block : match.blocks) draft.home->blocks.Share(block);
    const auto hits = static_cast<std::int32_t>(match.blocks.size());
    request.blocks = std::move(match.blocks);
    request.chain = std::move(match.chain);
    request.planned = hits * kKvBlockTokens;
    request.done = request.planned;
    request.open_due = true;
    state_.requests.Run(request);
    if (!request.ever_opened) {
      request.ever_opened = true;
      request.usage.cached_prompt_tokens = std::min(request.planned, request.prompt_tokens);
      state_.totals.prompt_tokens += static_cast<std::uint64_t>(request.prompt_tokens);
      state_.totals.cached_prompt_tokens +=
          static_cast<std::uint64_t>(request.usage.cached_prompt_tokens);
    }
    ++draft.sequences;
    PlanChunk(request);
    draft.promised += std::max(0, BlocksFor(static_cast<std::int32_t>(request.tokens.size())) -
                                      static_cast<std::int32_t>(request.blocks.size()));
  }

  StepPlan Finish() {
    StepPlan plan{.epoch = state_.epoch, .step = step_, .parts = {}};
    PlannedStep planned{.step = step_, .parts = {}};
    for (Draft& draft : drafts_) {
      draft.part.closes = std::exchange(draft.home->closes_due, {});
      PlannedPart part{.slot = draft.home->slot, .closes = draft.part.closes};
      for (const SequenceOpen& open : draft.part.opens) part.opens.push_back(open.seq);
      part.rows = std::move(draft.rows);
      planned.parts.push_back(std::move(part));
      plan.parts.push_back(std::move(draft.part));
    }
    planned.answers_missing = static_cast<int>(planned.parts.size());
    state_.step_planned = step_;
    state_.in_flight.push_back(std::move(planned));
    return plan;
  }

  CoordinatorState& state_;
  const Micros now_;
  StepId step_;
  std::int32_t rows_left_ = 0;
  std::size_t running_max_ = 0;
  std::vector<Draft> drafts_;  // by live slot, rising
  std::array<std::int32_t, kSlotsMax> index_{};
  bool any_ = false;
};

}  // namespace

std::optional<StepPlan> PlanStep(CoordinatorState& state, Micros now) {
  return Planner(state, now).Plan();
}

}  // namespace conclave
