// The workers of an exchange benchmark: threads, or processes that meet through sockets.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "bench/exchange_bench.h"

namespace conclave {

// Microseconds of every timed exchange as participant 0 saw it, [size][repeat].
absl::StatusOr<std::vector<std::vector<double>>> TimeAmongThreads(const ExchangeBenchAsk& ask);
absl::StatusOr<std::vector<std::vector<double>>> TimeAmongProcesses(const ExchangeBenchAsk& ask);

}  // namespace conclave
