// The flags of `conclave-torture`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "CLI/App.hpp"
#include "absl/status/status.h"
#include "torture/deed.h"
#include "torture/fleet.h"

namespace conclave::torture {

struct TortureOptions {
  FleetOptions fleet;
  int streams = 32;
  int pool = 64;  // different requests
  std::uint64_t seed = 1;
  Micros length = 60'000'000;
  Micros steady = 5'000'000;
  Micros pause = 2'000'000;
  Micros request_limit = 120'000'000;
  Micros join_limit = 60'000'000;
  Micros drain_limit = 30'000'000;
  Micros start_limit = 600'000'000;
  std::vector<DeedKind> kinds;
  bool partitions = false;
  bool json = false;
  bool verbose = false;
  std::string log_file;

  // As given, before Complete.
  double seconds = 60;
  int workers_max = 0;
  int threads = 0;
  std::string deeds = "kill,hang,join,drain";
  std::optional<std::uint64_t> kv_memory;
};

void AddTortureFlags(CLI::App& app, TortureOptions& options);
// Derives what follows from the flags. InvalidArgument names one.
absl::Status Complete(TortureOptions& options);

// The command that does the same again: every flag that was given, and the seed.
std::string RepeatCommand(const CLI::App& app, std::uint64_t seed);

}  // namespace conclave::torture
