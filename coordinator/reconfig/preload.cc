#include "coordinator/reconfig/preload.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/reconfig/propose.h"

namespace conclave {
namespace {

// Workers that own an expert in `next` which they do not own in `now`.
SlotSet Gainers(const Placement& now, const Placement& next) {
  SlotSet gainers;
  for (int layer = 0; layer < next.moe_layers(); ++layer) {
    for (int expert = 0; expert < next.experts(); ++expert) {
      const auto before = now.Owners(layer, expert);
      for (const std::uint8_t owner : next.Owners(layer, expert)) {
        if (std::ranges::find(before, owner) == before.end()) gainers.Add(Slot{owner});
      }
    }
  }
  return gainers;
}

}  // namespace

void PreloadForLoss(CoordinatorState& state, CoordinatorOutbox& outbox) {
  PreloadedForLoss preloaded{.silent = state.reconfig.silent_members, .told = {}};
  const absl::StatusOr<EpochProposal> proposal = ProposeWithout(state, preloaded.silent);
  if (proposal.ok()) {
    const SlotSet gainers = Gainers(state.placement, proposal->placement);
    for (const WorkerLink* link : proposal->workers) {
      if (!gainers.Has(link->slot)) continue;
      preloaded.told.push_back(link->id);
      outbox.push_back(TellWorker{link->id, Preload{.epoch = state.epoch,
                                                    .slot = link->slot,
                                                    .placement = proposal->placement}});
    }
  }
  if (!preloaded.told.empty()) {
    Log(outbox, LogLine::Level::kInfo,
        absl::StrCat(preloaded.silent.size(), " members are silent: ", preloaded.told.size(),
                     " workers load their experts in case they are lost"));
  }
  state.reconfig.serving_state()->preloaded = std::move(preloaded);
}

void DropPreloaded(CoordinatorState& state, CoordinatorOutbox& outbox) {
  Serving& serving = *state.reconfig.serving_state();
  const PreloadedForLoss preloaded = *std::exchange(serving.preloaded, std::nullopt);
  for (const LinkId id : preloaded.told) {
    const WorkerLink* link = state.membership.Find(id);
    if (link == nullptr) continue;
    outbox.push_back(TellWorker{id, Preload{.epoch = state.epoch,
                                            .slot = link->slot,
                                            .placement = state.placement,
                                            .drop = true}});
  }
}

}  // namespace conclave
