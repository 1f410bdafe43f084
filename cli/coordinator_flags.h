// The flags of a coordinator.
#pragma once

#include "CLI/App.hpp"
#include "coordinator/edge/server.h"

namespace conclave {

// --listen --admin --admin-http --insecure --reflection --grace --drain, and the scheduler's.
void AddCoordinatorFlags(CLI::App& app, CoordinatorOptions& options, ShutdownPlan& plan);

}  // namespace conclave
