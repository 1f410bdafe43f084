// What programs say while they run: one line per message on standard error.
#pragma once

#include <string>

#include "CLI/App.hpp"
#include "base/log.h"

namespace conclave {

struct LogOptions {
  std::string level = "info";   // info, warning, error
  std::string format = "text";  // text, json (one object per line)
};

void AddLogFlags(CLI::App& app, LogOptions& options);

// --flight-recorder-dir, see base/edge/flight_dump.h.
void AddFlightFlag(CLI::App& app, std::string& directory);

// Thread-safe; usable until the process ends.
LogFn MakeLog(const LogOptions& options);

}  // namespace conclave
