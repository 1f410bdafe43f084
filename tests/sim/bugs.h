// Bugs planted in the simulated world, by bending what is on its way between the cores: each is one
// that a cluster could have, and that some checker must find.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sim/tamper.h"

namespace conclave::sim {

struct PlantedBug {
  std::string name;
  std::string scenario;  // in which it can show
  int seeds = 0;         // it must be found within this many
  std::unique_ptr<Tamper> (*plant)();
};

std::vector<PlantedBug> StreamBugs();  // between coordinator and clients
std::vector<PlantedBug> WorkerBugs();  // between coordinator and workers
std::vector<PlantedBug> FrameBugs();   // between workers
std::vector<PlantedBug> EpochBugs();   // about epochs, restarts and faults

}  // namespace conclave::sim
