#include "sim/campaign.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/kernel_set.h"

namespace conclave::sim {

Campaign::Campaign() : toy_(MakeToy()), oracle_(toy_) { SetComputeThreadFloatMode(); }

Report Campaign::RunSeed(std::uint64_t seed, const Scenario* scenario, Tamper* tamper,
                         TraceFn trace) {
  Dice dice(seed, 0);
  const auto any =
      static_cast<std::size_t>(dice.Between(0, static_cast<std::int64_t>(Scenarios().size()) - 1));
  const SimOptions options = (scenario != nullptr ? *scenario : Scenarios()[any]).make(dice);
  return World({.toy = toy_,
                .oracle = oracle_,
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
