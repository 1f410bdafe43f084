#include "coordinator/schedule/choose_worker.h"

#include <algorithm>
#include <tuple>

#include "coordinator/schedule/step_draft.h"

namespace conclave {
namespace {

// One sequence more brings a worker about as many rows as it will generate, and as much again to
// compute when the worker is lost: as much as so many blocks of a prefix (256 tokens) save. Where
// there are few sequences, a short prefix must not gather all of them on one worker.
constexpr std::int32_t kBlocksPerSequence = 8;
// However long it is, a prefix draws only to a worker that has at most so many more than the least
// busy one: else one popular prompt would keep one worker busy and the others idle.
constexpr std::int32_t kAffinitySlack = 8;

bool LessLoaded(const HomeOffer& a, const HomeOffer& b) {
  if (a.sequences != b.sequences) return a.sequences < b.sequences;
  const std::int64_t a_part = std::int64_t{a.held} * b.total;
  const std::int64_t b_part = std::int64_t{b.held} * a.total;
  return std::tie(a_part, a.slot) < std::tie(b_part, b.slot);
}

std::int32_t BlocksFor(std::int32_t positions) {
  return (positions + kKvBlockTokens - 1) / kKvBlockTokens;
}

// Prompts travel whole with the part that opens them: together they must fit into one message.
bool FitsIntoMessage(const WorkerDraft& worker, const Request& request) {
  const auto tokens = static_cast<std::int64_t>(request.tokens.size());
  return worker.open_tokens + tokens <= kOpenTokensPerStepMax;
}

}  // namespace

std::optional<std::size_t> ChooseHome(std::span<const HomeOffer> offers) {
  if (offers.empty()) return std::nullopt;
  const HomeOffer& idlest = *std::ranges::min_element(offers, LessLoaded);
  const auto saved = [&](const HomeOffer& offer) {
    const std::int32_t more = offer.sequences - idlest.sequences;
    return (more <= kAffinitySlack ? offer.hit_blocks : 0) - more * kBlocksPerSequence;
  };
  std::size_t best = 0;
  for (std::size_t i = 1; i < offers.size(); ++i) {
    const std::int32_t here = saved(offers[i]);
    const std::int32_t there = saved(offers[best]);
    if (here > there || (here == there && LessLoaded(offers[i], offers[best]))) best = i;
  }
  return best;
}

HomeSearch FindHome(StepDraft& draft, const Request& request, RowUse use, std::int32_t hits_max) {
  HomeSearch search;
  const auto tokens = static_cast<std::int32_t>(request.tokens.size());
  // A request that said how long it may get goes where it fits to the end; any other may have to
  // move.
  const std::int32_t blocks_least =
      BlocksFor(request.max_tokens_given ? request.length_max - 1 : tokens);
  std::vector<HomeOffer>& offers = draft.offers();
  offers.clear();
  for (const WorkerDraft& worker : draft.workers()) {
    const Home& home = *worker.home;
    if (!home.TakesSequences() || worker.sequences >= worker.sequences_max) continue;
    if (worker.budget.Fit(use, 0, 1) <= 0 || !FitsIntoMessage(worker, request)) continue;
    search.outcome = HomeSearch::Outcome::kNoBlocks;
    if (worker.short_of_blocks || home.blocks.total() < blocks_least) continue;
    if (home.blocks.available() <= worker.promised) continue;  // one block is needed at least
    const PrefixCount known = home.blocks.Count({.tokens = request.tokens,
                                                 .hashes = request.hashes,
                                                 .blocks_max = hits_max,
                                                 .before = draft.step()});
    const std::int32_t need = BlocksFor(tokens) - known.blocks + known.idle;
    if (home.blocks.available() - worker.promised < need) continue;
    offers.push_back({.slot = home.slot,
                      .hit_blocks = known.blocks,
                      .sequences = worker.sequences,
                      .held = home.blocks.held() + worker.promised,
                      .total = home.blocks.total()});
  }
  const std::optional<std::size_t> chosen = ChooseHome(offers);
  if (chosen.has_value()) search = {HomeSearch::Outcome::kFound, offers[*chosen].slot};
  return search;
}

}  // namespace conclave
