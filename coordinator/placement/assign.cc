#include "coordinator/placement/assign.h"

#include <algorithm>
#include <span>
#include <vector>

#include "base/status.h"
#include "coordinator/placement/fill.h"

namespace conclave {
namespace {

// A worker that is there and held nothing takes over experts of those that end last, one after
// another, until it has its part: while it still ends before the one it takes from would have.
void FillLayer(PlacementDraft& draft, int layer, std::span<const int> newcomers) {
  const std::span<ExpertOwners> experts = draft.layer(layer);
  const std::span<const float> weights = draft.weights(layer);
  LayerTimes times(draft, layer, 1, LayerTimes::Ranks::kLeastAndMost);
  CopiesByWorker copies(experts);
  const float lightest = *std::ranges::min_element(weights);
  times.OnlyInto(newcomers);
  while (true) {
    const std::optional<int> to = times.Least(), from = times.Most();
    if (!to.has_value() || !from.has_value()) return;
    if (times.time(*to) >= times.mean()) {
      times.Bar(*to);
      continue;
    }
    const double gap = times.time(*from) - times.time(*to);
    if (gap <= lightest / kReplicasMax * draft.slowness(*to)) return;
    int best = -1;
    double best_end = times.time(*from) - kTimeEpsilon;
    for (int at = copies.First(*from); at >= 0; at = copies.Next(at)) {
      const auto e = static_cast<std::size_t>(CopiesByWorker::ExpertAt(at));
      if (experts[e].Has(*to)) continue;
      const float part = weights[e] / static_cast<float>(experts[e].size());
      const double end = std::max(times.time(*from) - part * draft.slowness(*from),
                                  times.time(*to) + part * draft.slowness(*to));
      if (end < best_end || (end == best_end && at < best)) {
        best = at;
        best_end = end;
      }
    }
    if (best < 0) {
      times.Settle(*from);
      continue;
    }
    const auto e = static_cast<std::size_t>(CopiesByWorker::ExpertAt(best));
    const float part = weights[e] / static_cast<float>(experts[e].size());
    draft.Remove(experts[e], *from);
    draft.Add(experts[e], *to);
    copies.Move(best, *from, *to);
    times.Add(*from, -part);
    times.Add(*to, part);
  }
}

}  // namespace

absl::StatusOr<Placement> PlaceExperts(const PlacementAsk& ask) {
  RETURN_IF_ERROR(CheckRoom(ask));
  PlacementDraft draft(ask);
  std::vector<int> newcomers;
  for (int w = 0; w < draft.workers(); ++w) {
    if (draft.held(w) == 0 && draft.room(w) > 0) newcomers.push_back(w);
  }
  const bool all_new = static_cast<int>(newcomers.size()) == draft.workers();
  MakeRoom(draft);
  AddMissingCopies(draft, 1);
  if (!all_new && !newcomers.empty()) {
    for (int layer = 0; layer < ask.moe_layers; ++layer) FillLayer(draft, layer, newcomers);
  }
  for (int copies = 2; copies <= CopiesWanted(ask); ++copies) AddMissingCopies(draft, copies);
  return draft.Finish();
}

}  // namespace conclave
