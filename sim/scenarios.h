// Kinds of worlds by name. A scenario draws its options from the seed.
#pragma once

#include <span>

#include "absl/strings/string_view.h"
#include "sim/dice.h"
#include "sim/options.h"

namespace conclave::sim {

struct Scenario {
  absl::string_view name;
  absl::string_view what;
  SimOptions (*make)(Dice& dice);
  int share = 1;  // of the seeds that choose for themselves
};

std::span<const Scenario> Scenarios();
const Scenario& AnyScenario(Dice& dice);
// In half of the worlds, workers take so few rows in a round that many a step needs several. Rolled
// apart from the rest: it changes nothing else of a seed's world.
void ChooseArrivals(Dice dice, SimOptions& options);
const Scenario* FindScenario(absl::string_view name);  // null: no such one

}  // namespace conclave::sim
