// Many seeds, one after another. A seed alone decides what happens: its scenario too, unless one is
// named.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "sim/oracle.h"
#include "sim/scenarios.h"
#include "sim/tamper.h"
#include "sim/toy.h"
#include "sim/world.h"

namespace conclave::sim {

class Campaign {
 public:
  Campaign();

  // `scenario` null: the seed picks one. `tamper` null: nothing is bent. May be called in any
  // order: what a seed does depends on no other seed.
  Report RunSeed(std::uint64_t seed, const Scenario* scenario = nullptr, Tamper* tamper = nullptr,
                 TraceFn trace = {});

 private:
  Toy toy_, skewed_toy_;
  Oracle oracle_, skewed_oracle_;
};

// The command that runs one seed again.
std::string ReplayCommand(std::uint64_t seed, const Scenario* scenario);

}  // namespace conclave::sim
