// The flags of a coordinator.
#pragma once

#include "CLI/App.hpp"
#include "coordinator/edge/server.h"

namespace conclave {

// --listen --admin --admin-http --insecure --reflection --grace --drain, the scheduler's, and the
// limits of docs/operations.md.
void AddCoordinatorFlags(CLI::App& app, CoordinatorOptions& options, ShutdownPlan& plan);

}  // namespace conclave
