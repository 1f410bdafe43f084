#include "coordinator/schedule/migrate.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/check.h"

namespace conclave {
namespace {

constexpr int kMovesMax = 16;  // at once
// A tail that is longer is better computed in another pass, if that leaves half of it.
constexpr std::int32_t kTailMax = 2 * kKvBlockTokens;
static_assert(kTailMax <= WorkerBudget::kRecomputeRowsMin, "it always fits into one step");
constexpr std::int32_t kPassesMax = 8;  // then it must do with what there is
// A request that will have ended after so few tokens is not worth a move.
constexpr std::int32_t kTokensLeftMin = 8;

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

void BeginPass(StepDraft& draft, const Request& request, Understudy& understudy) {
  draft.Reopen(request, understudy, understudy.planned);
  understudy.goal = GoalOf(request);
  understudy.tail = TailOf(request, understudy);
  ++understudy.passes;
}

// Whether the worker can run the tail in one step, besides the decode rows of its sequences and the
// tails that it was promised before.
bool Fits(StepDraft& draft, const WorkerDraft& worker, std::int32_t begin,
          std::int32_t tail) {
  const CoordinatorConfig& config = draft.state().config;
  const StepTime& time = draft.state().step_time;
  const std::int32_t chunk = std::max(1, config.chunk_tokens.value_or(worker.rows_max));
  // Half of the step is left to decode rows, of which only the number is known yet.
  const std::int32_t quick =
      draft.cost().Fit(begin, time.MigrationRows(), time.CostLimit(/*decode_rows=*/true) / 2);
  const std::int32_t rows =
      std::min(worker.rows_max - worker.sequences, std::max(kTailMax, quick));
  return tail <= std::min(chunk, rows - worker.tail_rows);
}

// The pass is over. What is left must fit into one step, or the client would wait for several: if
// it does not, the next whole block is waited for, and computed here before.
void AfterPass(StepDraft& draft, Request& request) {
  Understudy& understudy = *request.understudy;
  WorkerDraft& worker = draft.At(understudy.home);
  const std::int32_t tail = TailOf(request, understudy) + request.in_flight;
  if (!understudy.caught_up) {
    const bool nearer = GoalOf(request) > understudy.planned && understudy.passes < kPassesMax;
    const bool fits = Fits(draft, worker, understudy.planned, tail);
    if (nearer && (!fits || (tail > kTailMax && 2 * tail <= understudy.tail))) {
      BeginPass(draft, request, understudy);
      return;
    }
    if (!fits && understudy.passes < kPassesMax) return;
  }
  understudy.caught_up = true;
  worker.tail_rows += tail;
  if (request.in_flight == 0) draft.TakeOver(request, understudy.planned);
}

}  // namespace

bool MovesPending(const CoordinatorState& state, Slot slot) {
  return std::ranges::any_of(state.requests.running(),
                             [&](const Request* request) { return request->home == slot; });
}

void AdvanceMoves(StepDraft& draft) {
  const CoordinatorState& state = draft.state();
  for (Request* request : draft.migrating()) {
    const Understudy* understudy = request->understudy.get();
    if (!Draining(state, request->home) || !state.HomeAt(understudy->home).TakesSequences()) {
      draft.DropUnderstudy(*request);
    } else if (understudy->planned >= understudy->goal && !understudy->under_way()) {
      AfterPass(draft, *request);
    }
  }
}

void ReserveMoves(StepDraft& draft) {
  const std::int32_t allowance = draft.state().step_time.MigrationRows();
  for (const Request* request : draft.migrating()) {
    const Understudy* understudy = request->understudy.get();
    if (understudy == nullptr) continue;
    WorkerBudget& budget = draft.At(understudy->home).budget;
    const std::int32_t missing = understudy->goal - understudy->planned;
    budget.ReserveForMigration(understudy->planned,
                               std::min(missing, allowance - budget.rows_reserved()));
  }
}

void StartMoves(StepDraft& draft) {
  if (!draft.draining()) return;
  const CoordinatorState& state = draft.state();
  const auto& waiting = state.requests.waiting();
  auto moves = std::ranges::count_if(draft.migrating(), [](const Request* request) {
    return request->understudy != nullptr;
  });
  for (Request* request : state.requests.running()) {
    if (moves >= kMovesMax) return;
    // A request that waits longer finds a home first.
    if (!waiting.empty() && waiting.begin()->first < request->order) return;
    if (!MayMove(state, *request)) continue;
    request->UpdateHashes();
    const std::int32_t goal = GoalOf(*request);
    const std::int32_t hits_max = goal / kKvBlockTokens;
    const HomeSearch search = FindHome(draft, *request, RowUse::kMigration, hits_max);
    if (search.outcome != HomeSearch::Outcome::kFound) return;
    request->understudy = std::make_unique<Understudy>();
    Understudy& understudy = *request->understudy;
    draft.Lodge(*request, understudy, search.slot, hits_max);
    understudy.goal = goal;
    understudy.tail = TailOf(*request, understudy);
    draft.migrating().push_back(request);
    ++moves;
  }
}

void PlanMoves(StepDraft& draft) {
  std::ranges::sort(draft.migrating(), std::less{}, [](const Request* r) { return r->order; });
  for (Request* request : draft.migrating()) {
    if (request->understudy == nullptr) continue;
    // One that finds no block makes room for those that have some.
    if (!draft.PlanUnderstudy(*request)) draft.DropUnderstudy(*request);
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
