#include "sim/campaign.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/kernel_set.h"

namespace conclave::sim {

constexpr std::uint64_t kArrivalsRolls = ~std::uint64_t{0};  // a stream nobody else rolls from

Campaign::Campaign()
    : toy_(MakeToy()), skewed_toy_(MakeToy(true)), oracle_(toy_), skewed_oracle_(skewed_toy_) {
  SetComputeThreadFloatMode();
}

Report Campaign::RunSeed(std::uint64_t seed, const Scenario* scenario, Tamper* tamper,
                         TraceFn trace) {
  Dice dice(seed, 0);
  // Rolled in any case: what a seed does in a scenario does not depend on who chose it.
  const Scenario& any = AnyScenario(dice);
  SimOptions options = (scenario != nullptr ? *scenario : any).make(dice);
  ChooseArrivals(Dice(seed, kArrivalsRolls), options);
  return World({.toy = options.skewed ? skewed_toy_ : toy_,
                .oracle = options.skewed ? skewed_oracle_ : oracle_,
                .options = options,
                .seed = seed,
                .tamper = tamper,
                .trace = std::move(trace)})
      .Run();
}

std::string ReplayCommand(std::uint64_t seed, const Scenario* scenario) {
  std::string command = absl::StrCat("conclave-sim --seeds 1 --first-seed ", seed);
  if (scenario != nullptr) absl::StrAppend(&command, " --scenario ", scenario->name);
  return command;
}

}  // namespace conclave::sim
