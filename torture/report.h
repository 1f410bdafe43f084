// What came of it, as the contract's JSON object and for people. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "torture/deed.h"
#include "torture/stalls.h"

namespace conclave::torture {

struct Report {
  // The load, all phases after the undisturbed one.
  int requests = 0, failed = 0, mismatched = 0, missing_tokens = 0, repeated_tokens = 0;
  std::int64_t retries = 0;  // calls that a restart of the coordinator cost
  double tokens_per_second = 0, steady_tokens_per_second = 0;
  double steady_p50_ms = 0, steady_p99_ms = 0, steady_max_ms = 0;
  double first_token_p50_ms = 0, first_token_p99_ms = 0, first_token_max_ms = 0;
  // The deeds.
  std::vector<int> done;  // [DeedKind]
  int restarts = 0, skipped = 0;
  int refusals = 0;  // workers sent away while packets vanished, and started again
  Stalls stalls;
  double stall_p50_ms = 0, stall_p99_ms = 0;  // over deeds: the longest gap charged to each
  // Where and how.
  std::uint64_t seed = 0;
  std::string model, commit, kernels, repeat;
  int workers = 0, workers_max = 0, streams = 0, threads = 0, cores = 0;
  double seconds = 0;
  std::vector<std::string> failures;  // what else went wrong, and the first of those counted
  std::vector<std::string> notes;

  bool good() const {
    return failed + mismatched + missing_tokens + repeated_tokens == 0 && failures.empty();
  }
};

std::string ReportJson(const Report& report);
std::string ReportText(const Report& report);

}  // namespace conclave::torture
