// The flags that say how a cluster on this machine is to be: `serve`, and everything with --model.
#pragma once

#include <string>

#include "CLI/App.hpp"
#include "base/ids.h"
#include "cli/logging.h"
#include "cli/worker_flags.h"
#include "coordinator/edge/server.h"

namespace conclave {

struct ServeFlags {
  int workers = 0;  // worker processes; 0: one worker inside this process
  CoordinatorOptions coordinator;
  ShutdownPlan shutdown{.grace = 0, .drain = 30'000'000};
  ComputeFlags compute;  // threads and kv_memory are those of all workers together
  LogOptions log;
  std::string flight_directory;  // `serve` and its worker processes; see base/edge/flight_dump.h
  Micros start_timeout = 600'000'000;
};

// Defaults are what `flags` holds.
void AddServeFlags(CLI::App& app, ServeFlags& flags);

}  // namespace conclave
