#include "coordinator/reconfig/move.h"

#include <algorithm>

#include "coordinator/moves.h"

namespace conclave {

bool HasSequencesToMove(const CoordinatorState& state, Micros now) {
  const StagedReconfiguration& staged = *state.reconfig.staged();
  return std::ranges::any_of(state.live, [&](Slot slot) {
    const Home& home = state.HomeAt(slot);
    return !staged.Includes(slot) && home.draining &&
           now - home.draining_since <= state.config.move_limit && MovesPending(state, slot);
  });
}

void StopPlanning(CoordinatorState& state, Micros now) {
  state.reconfig.staged()->Enter(StagedReconfiguration::Stage::kStopping, now);
  state.reconfig.stopped_since = now;
}

}  // namespace conclave
