#include "coordinator/state.h"

#include <algorithm>
#include <span>
#include <utility>

#include "base/check.h"

namespace conclave {

void Log(CoordinatorOutbox& outbox, LogLine::Level level, std::string text) {
  outbox.push_back(LogLine{level, std::move(text)});
}

namespace {

void Close(CoordinatorState& state, const Stay& stay) {
  if (!stay.open_due) state.HomeAt(stay.home).closes_due.push_back(stay.seq);
}

// The end of a chain goes first: its beginning is what others share.
void ReleaseAfter(KvBlocks& blocks, Stay& stay, std::size_t keep) {
  while (stay.blocks.size() > keep) {
    blocks.Release(stay.blocks.back());
    stay.blocks.pop_back();
  }
}

void PutDownStay(CoordinatorState& state, Stay& stay) {
  if (Home* home = state.HomeOrNull(stay.home)) {
    ReleaseAfter(home->blocks, stay, 0);
    Close(state, stay);
  }
  stay.blocks.clear();
  stay.chain.clear();
  stay.blocks_known = 0;
  stay.planned = 0;
  stay.done = 0;
  stay.open_due = false;
  stay.confirmed = false;
}

}  // namespace

void PutDown(CoordinatorState& state, Request& request) {
  PutDownUnderstudy(state, request);
  PutDownStay(state, request);
}

void PutDownUnderstudy(CoordinatorState& state, Request& request) {
  if (request.understudy == nullptr) return;
  PutDownStay(state, *request.understudy);
  request.understudy.reset();
}

void Reopen(CoordinatorState& state, Stay& stay, std::int32_t keep) {
  CONCLAVE_CHECK(keep % kKvBlockTokens == 0 && keep <= stay.planned);
  Close(state, stay);
  const auto blocks = static_cast<std::size_t>(keep / kKvBlockTokens);
  ReleaseAfter(state.HomeAt(stay.home).blocks, stay, blocks);
  stay.chain.resize(std::min(stay.chain.size(), blocks));
  stay.planned = keep;
  stay.done = std::min(stay.done, keep);
  stay.seq = SeqId{};  // what the old one still says is of no use
  stay.open_due = true;
  stay.confirmed = false;
}

void PublishBlocks(CoordinatorState& state, Request& request, Stay& stay) {
  if (!state.config.prefix_cache) return;
  const auto known = std::min(static_cast<std::size_t>(stay.planned), request.tokens.size());
  const std::size_t whole = known / kKvBlockTokens;
  if (stay.chain.size() >= whole) return;
  request.UpdateHashes();
  const std::span tokens(request.tokens);
  KvBlocks& blocks = state.HomeAt(stay.home).blocks;
  while (stay.chain.size() < whole) {
    const std::size_t at = stay.chain.size();
    stay.chain.push_back(
        blocks.Publish({.block = stay.blocks[at],
                        .before = at == 0 ? ContentId{} : stay.chain.back(),
                        .tokens = tokens.subspan(at * kKvBlockTokens, kKvBlockTokens),
                        .hash = request.hashes[at],
                        .step = stay.planned_in}));
  }
}

}  // namespace conclave
