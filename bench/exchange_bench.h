// How long one all-to-all takes, beside what this machine's memory allows. For `conclave bench
// exchange`.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace conclave {

struct ExchangeBenchAsk {
  std::string backend = "ucx";     // one of ExchangeBackendsHere()
  std::string transports;          // as UcxOptions
  int participants = 2;            // 1..kSlotsMax; processes for ucx, threads for local
  std::vector<std::size_t> sizes;  // bytes to each peer and from each peer, 1..256 MiB
  int repeats = 1000;              // timed exchanges per size, at least 1
};

struct ExchangeBenchRow {
  std::size_t bytes = 0;
  double median_us = 0;  // of one exchange, back to back, as participant 0 sees it
  double p99_us = 0;
  double gbps = 0;  // bytes that one participant receives over the median, 1e9 bytes per second
  double copy_floor_us = 0;  // memcpy of as many bytes, median, one thread, nothing else running
  double copy_fraction = 0;  // copy_floor_us / median_us
};

struct ExchangeBenchResult {
  double copy_gbps = 0;  // plain copy of 64 MiB blocks, bytes copied per second, same run
  std::vector<ExchangeBenchRow> rows;
};

// InvalidArgument names the field. With ucx the participants are forked, so call it before this
// process starts threads or UCX. Blocks until done; a participant that fails ends the run.
absl::StatusOr<ExchangeBenchResult> RunExchangeBench(const ExchangeBenchAsk& ask);

}  // namespace conclave
