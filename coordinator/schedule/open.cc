#include "coordinator/schedule/open.h"

#include <algorithm>

namespace conclave {
namespace {

constexpr std::int32_t kShortRows = 2048;
// Of a long queue only so many requests are looked at in one step.
constexpr int kLookahead = 256;
// After so many requests that found no KV memory the others of the queue wait for the next step.
constexpr int kMissesMax = 4;

std::int64_t TokensOf(const Request& request) {
  return static_cast<std::int64_t>(request.tokens.size());
}

void CountOpened(CoordinatorState& state, Request& request) {
  if (request.ever_opened) return;
  request.ever_opened = true;
  request.usage.cached_prompt_tokens = std::min(request.planned, request.prompt_tokens);
  state.totals.prompt_tokens += static_cast<std::uint64_t>(request.prompt_tokens);
  state.totals.cached_prompt_tokens +=
      static_cast<std::uint64_t>(request.usage.cached_prompt_tokens);
}

HomeSearch::Outcome OpenOne(StepDraft& draft, Request& request, RowUse use) {
  request.UpdateHashes();
  // The last token's logits are needed, so it is always run.
  const std::int32_t whole =
      (static_cast<std::int32_t>(request.tokens.size()) - 1) / kKvBlockTokens;
  const std::int32_t hits_max = request.NeedsEveryPosition() ? 0 : whole;
  const HomeSearch search = FindHome(draft, request, use, hits_max);
  if (search.outcome != HomeSearch::Outcome::kFound) return search.outcome;
  draft.Lodge(request, request, search.slot, hits_max);
  draft.state().requests.Run(request);
  CountOpened(draft.state(), request);
  draft.PlanChunk(request, use);
  return search.outcome;
}

// Whether some worker can run rows of a short prompt yet.
bool AnyRows(StepDraft& draft) {
  return std::ranges::any_of(draft.workers(), [](const WorkerDraft& worker) {
    return worker.home->TakesSequences() && worker.budget.Fit(RowUse::kPrompt, 0, 1) > 0;
  });
}

// The requests in the queue, oldest first; stops when `visit` answers false.
template <typename Visit>
void ForEachWaiting(StepDraft& draft, const Visit& visit) {
  const auto& waiting = draft.state().requests.waiting();
  int looked = 0;
  for (auto next = waiting.begin(); next != waiting.end() && looked < kLookahead; ++looked) {
    Request& request = *(next++)->second;
    // The token it was last asked for is still on its way: next time.
    if (request.in_flight > 0) continue;
    if (!visit(request)) return;
  }
}

}  // namespace

void OpenAnswers(StepDraft& draft) {
  ForEachWaiting(draft, [&](Request& request) {
    if (request.usage.completion_tokens == 0) return true;
    return OpenOne(draft, request, RowUse::kRecompute) == HomeSearch::Outcome::kFound;
  });
}

void OpenPrompts(StepDraft& draft, std::vector<Request*>& opened) {
  Request* blocked = nullptr;  // the oldest that no worker has KV memory for
  bool long_share_used = false;
  int misses = 0;
  ForEachWaiting(draft, [&](Request& request) {
    if (request.usage.completion_tokens > 0) return true;
    const bool is_short = IsShort(draft, request);
    if (!is_short && long_share_used) return true;
    if (blocked != nullptr) {
      const std::int64_t left = TokensOf(*blocked) - blocked->overtaken_tokens;
      if (!is_short || TokensOf(request) > left) return true;
    }
    switch (OpenOne(draft, request, is_short ? RowUse::kPrompt : RowUse::kLongPrompt)) {
      case HomeSearch::Outcome::kFound:
        opened.push_back(&request);
        if (blocked != nullptr) blocked->overtaken_tokens += TokensOf(request);
        return true;
      case HomeSearch::Outcome::kNoRows:
        long_share_used = true;
        return !is_short && AnyRows(draft);
      case HomeSearch::Outcome::kNoBlocks:
        if (blocked == nullptr) blocked = &request;
        return ++misses < kMissesMax;
    }
    return false;
  });
}

bool IsShort(const StepDraft& draft, const Request& request) {
  const auto missing = static_cast<std::int32_t>(request.tokens.size()) - request.planned;
  return draft.cost().Of(request.planned, missing) <=
         std::max(draft.cost_limit(), draft.cost().OfRows(kShortRows));
}

bool ShortPromptWaits(StepDraft& draft) {
  bool found = false;
  ForEachWaiting(draft, [&](Request& request) {
    found = request.usage.completion_tokens == 0 && IsShort(draft, request);
    return !found;
  });
  return found;
}

}  // namespace conclave
