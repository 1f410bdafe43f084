// How the rows of homes that own no copy of an expert are divided among its owners: in whole homes,
// so that the owners end together as nearly as can be.
#pragma once

#include <span>

#include "protocol/placement.h"

namespace conclave {

struct HomeWorker {
  float slowness = 1;  // 1 / speed
  bool home = true;    // its own sequences make rows
};

// Sets the shares of all experts of one layer. Owners are indices into `workers`, rising. An expert
// with one owner has no share. `layer` only varies who gets what does not divide evenly.
void ShareOut(std::span<ExpertOwners> experts, std::span<const float> weights,
              std::span<const HomeWorker> workers, int layer);

}  // namespace conclave
