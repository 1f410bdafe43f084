// The flags of a worker: how it computes and reaches its peers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "CLI/App.hpp"
#include "absl/status/status.h"
#include "worker/edge/worker_runner.h"

namespace conclave {

struct ComputeFlags {
  std::string kernels = "auto";
  std::string kv_dtype = "bf16";
  std::string exchange = "auto";
  std::string ucx_transports;
  std::string exchange_bind;  // empty: the default that Apply chooses
  std::optional<std::uint64_t> kv_memory;
  int threads = 0;
  std::int32_t rows_max = 512;
  std::int32_t arrivals_max = 512;
};
// --kernels --kv-dtype --kv-memory --threads --exchange --exchange-bind --ucx-transports --rows-max
// --arrivals-max
void AddComputeFlags(CLI::App& app, ComputeFlags& flags);
// `insecure`: the operator said --insecure, so the exchange may be reached from other machines and,
// without --exchange-bind, uses every interface.
absl::Status Apply(const ComputeFlags& flags, bool insecure, WorkerOptions& options);

}  // namespace conclave
