#include "coordinator/moves.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/check.h"

namespace conclave {
namespace {

constexpr int kMovesMax = 16;  // at once
// More than so much is better computed in another pass, if that leaves half of it.
constexpr std::int32_t kTailMax = 2 * kKvBlockTokens;
constexpr std::int32_t kPassesMax = 8;  // then it must do with what there is
// One that will have ended so soon is not worth a move.
constexpr std::int32_t kTokensLeftMin = 8;
constexpr std::int32_t kShareOfRows = 4;  // one part of so many is for understudies

// The last known token is always run by who samples.
std::int32_t GoalOf(const Request& request) {
  return (static_cast<std::int32_t>(request.tokens.size()) - 1) / kKvBlockTokens * kKvBlockTokens;
}

std::int32_t TailOf(const Request& request, const Stay& stay) {
  return static_cast<std::int32_t>(request.tokens.size()) - stay.planned;
}

bool Draining(const CoordinatorState& state, Slot slot) {
  const Home* home = state.homes[static_cast<std::size_t>(slot.value)].get();
  return home != nullptr && home->draining;
}

bool MayMove(const CoordinatorState& state, const Request& request) {
  return Draining(state, request.home) && request.understudy == nullptr && request.decoding() &&
         !request.open_due && request.usage.completion_tokens > 0 &&
         request.length_max - request.length_planned() >= kTokensLeftMin;
}

void BeginPass(CoordinatorState& state, const Request& request, Understudy& understudy) {
  Reopen(state, understudy, understudy.planned);
  understudy.goal = GoalOf(request);
  understudy.tail = TailOf(request, understudy);
  ++understudy.passes;
}

// What a step has room for after its decode rows, as far as that can be known before it is planned.
struct Room {
  explicit Room(const StepDraft& draft, const CoordinatorState& state)
      : rows(std::min(draft.rows_left() - static_cast<std::int32_t>(state.requests.running().size()),
                      std::max(kTailMax, state.move_pace.rows()))),
        chunk(std::max(1, state.config.chunk_tokens.value_or(kWorkerRowsMax))) {}
  std::int32_t rows;
  const std::int32_t chunk;
};

bool Fits(const Room& room, const WorkerDraft& worker, std::int32_t tail) {
  return tail <= std::min({room.rows, room.chunk, worker.rows_left - worker.sequences});
}

// The pass is over. What is left must fit into one step, or the client would wait for several: if
// it does not, the next whole block is waited for, and computed here before.
void AfterPass(CoordinatorState& state, StepDraft& draft, Request& request, Room& room) {
  Understudy& understudy = *request.understudy;
  WorkerDraft& worker = draft.At(understudy.home);
  const std::int32_t tail = TailOf(request, understudy) + request.in_flight;
  if (!understudy.caught_up) {
    const bool nearer = GoalOf(request) > understudy.planned && understudy.passes < kPassesMax;
    const bool fits = Fits(room, worker, tail);
    if (nearer && (!fits || (tail > kTailMax && 2 * tail <= understudy.tail))) {
      BeginPass(state, request, understudy);
      return;
    }
    if (!fits && understudy.passes < kPassesMax) return;
  }
  understudy.caught_up = true;
  room.rows -= tail;
  worker.sequences += tail;  // so many rows are spoken for, until the next count
  if (request.in_flight == 0) TakeOver(state, request, understudy.planned);
}

}  // namespace

bool MovesPending(const CoordinatorState& state, Slot slot) {
  return std::ranges::any_of(state.requests.running(),
                             [&](const Request* request) { return request->home == slot; });
}

void AdvanceMoves(CoordinatorState& state, StepDraft& draft) {
  Room room(draft, state);
  bool counted = false;
  for (Request* request : state.requests.running()) {
    const Understudy* understudy = request->understudy.get();
    if (understudy == nullptr) continue;
    if (!Draining(state, request->home) || !state.HomeAt(understudy->home).TakesSequences()) {
      PutDownUnderstudy(state, *request);
    } else if (understudy->planned >= understudy->goal && !understudy->under_way()) {
      if (!std::exchange(counted, true)) draft.Recount();
      AfterPass(state, draft, *request, room);
    }
  }
}

void StartMoves(CoordinatorState& state, StepDraft& draft) {
  const auto& waiting = state.requests.waiting();
  int moves = 0;
  bool counted = false;
  for (const Request* request : state.requests.running()) {
    moves += request->understudy != nullptr ? 1 : 0;
  }
  for (Request* request : state.requests.running()) {
    if (moves >= kMovesMax) return;
    // Who waits longer finds a home first.
    if (!waiting.empty() && waiting.begin()->first < request->order) return;
    if (!MayMove(state, *request)) continue;
    if (!std::exchange(counted, true)) draft.Recount();
    const std::int32_t goal = GoalOf(*request);
    std::optional<Lodging> lodging = draft.FindHome(*request, goal / kKvBlockTokens);
    if (!lodging.has_value()) return;
    request->understudy = std::make_unique<Understudy>();
    Understudy& understudy = *request->understudy;
    draft.Lodge(*request, understudy, *std::move(lodging));
    understudy.goal = goal;
    understudy.tail = TailOf(*request, understudy);
    ++moves;
  }
}

void KeepRows(const CoordinatorState& state, StepDraft& draft) {
  const auto share = [&](std::int32_t rows) {
    return std::min({rows, std::max(1, rows / kShareOfRows), state.move_pace.rows()});
  };
  for (const Request* request : state.requests.running()) {
    const Understudy* understudy = request->understudy.get();
    if (understudy == nullptr || understudy->planned >= understudy->goal) continue;
    WorkerDraft& worker = draft.At(understudy->home);
    worker.rows_kept = share(worker.rows_left);
    draft.Keep(share(draft.rows_left()));
  }
}

void PlanMoves(CoordinatorState& state, StepDraft& draft) {
  for (Request* request : state.requests.running()) {
    if (request->understudy == nullptr) continue;
    // Whoever finds no block makes room for those that have some.
    if (!draft.PlanUnderstudy(*request)) PutDownUnderstudy(state, *request);
  }
}

void TakeOver(CoordinatorState& state, Request& request, std::int32_t keep) {
  CONCLAVE_CHECK(request.in_flight == 0, "request %llu moves while its token is on its way",
                 static_cast<unsigned long long>(request.order.id.value));
  const std::unique_ptr<Understudy> understudy = std::move(request.understudy);
  PutDown(state, request);
  static_cast<Stay&>(request) = std::move(static_cast<Stay&>(*understudy));
  Reopen(state, request, keep);
  ++state.totals.moves;
}

}  // namespace conclave
