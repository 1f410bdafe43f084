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
  std::optional<std::uint64_t> kv_memory;
  int threads = 0;
  std::int32_t rows_max = 512;
  std::optional<std::int32_t> arrivals_max;
};
// --kernels --kv-dtype --kv-memory --threads --exchange --ucx-transports --rows-max --arrivals-max
void AddComputeFlags(CLI::App& app, ComputeFlags& flags);
absl::Status Apply(const ComputeFlags& flags, WorkerOptions& options);

}  // namespace conclave
