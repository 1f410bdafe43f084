// Experts placed anew by measured load, when that pays: an operator asks for it, or it is noticed.
//
// It pays when the time that steps save within kPayBackWithin is more than loading costs. Steps
// save the part of their time that the slowest worker's experts take longer than they would:
// (imbalance before - imbalance after) x the part of the time that the average worker spends in
// experts. Without being asked it is done only when the gain is clear, and not again for a while,
// so that placements do not follow every change of the load.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "coordinator/placement/rebalance.h"
#include "coordinator/state.h"

namespace conclave {

struct RebalanceForecast {
  Rebalanced result;
  double saved = 0;  // seconds within kPayBackWithin
  double cost = 0;   // seconds
  double gain = 0;   // part of the slowest workers' expert time
  std::string text;  // for people: what it would do and what that is expected to bring
};
// FailedPrecondition: nothing to go by, and why.
absl::StatusOr<RebalanceForecast> ForecastRebalance(const CoordinatorState& state, Micros now);

// How much one change may load. A few changes one after another reach what one big one would, and
// each keeps service and memory undisturbed.
RebalanceLimits LimitsOfOneChange(const PlacementAsk& ask);

// An operator's wish. The answer says what happens now, or with FailedPrecondition why it does not
// pay or cannot be.
void TakeRebalance(CoordinatorState& state, const RebalanceAsked& asked, CoordinatorOutbox& outbox);

// Call on every tick: lets the measured loads fade and, with RebalanceMode::kAuto, rebalances unasked.
void ConsiderRebalance(CoordinatorState& state, Micros now, CoordinatorOutbox& outbox);

}  // namespace conclave
