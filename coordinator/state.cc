#include "coordinator/state.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace conclave {

void Log(CoordinatorOutbox& outbox, LogLine::Level level, std::string text) {
  outbox.push_back(LogLine{level, std::move(text)});
}

void PutDown(CoordinatorState& state, Request& request) {
  Home* home = state.HomeOrNull(request.home);
  if (home != nullptr) {
    // The end of a chain goes first: its beginning is what others share.
    for (auto block = request.blocks.rbegin(); block != request.blocks.rend(); ++block) {
      home->blocks.Release(*block);
    }
    if (!request.open_due) home->closes_due.push_back(request.seq);
  }
  request.blocks.clear();
  request.chain.clear();
  request.blocks_known = 0;
  request.planned = 0;
  request.done = 0;
  request.open_due = false;
  request.confirmed = false;
}

void PublishBlocks(CoordinatorState& state, Request& request) {
  if (!state.config.prefix_cache) return;
  const std::int32_t known =
      std::min(request.planned, static_cast<std::int32_t>(request.tokens.size()));
  const std::size_t whole = static_cast<std::size_t>(known / kKvBlockTokens);
  if (request.chain.size() >= whole) return;
  KvBlocks& blocks = state.HomeAt(request.home).blocks;
  while (request.chain.size() < whole) {
    const std::size_t at = request.chain.size();
    request.chain.push_back(blocks.Publish(
        {.block = request.blocks[at],
         .before = at == 0 ? ContentId{} : request.chain.back(),
         .tokens = std::span(request.tokens).subspan(at * kKvBlockTokens, kKvBlockTokens),
         .step = request.planned_in}));
  }
}

}  // namespace conclave
