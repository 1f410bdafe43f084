#include "cli/worker_flags.h"

#include "CLI/Validators.hpp"
#include "base/edge/credentials.h"
#include "base/limits.h"
#include "base/status.h"
#include "cli/flags.h"

namespace conclave {

void AddComputeFlags(CLI::App& app, ComputeFlags& flags) {
  AddChoice(app, "--kernels", flags.kernels, {"auto", "ref", "avx2", "avx512", "cuda"},
            "kernel set");
  AddChoice(app, "--kv-dtype", flags.kv_dtype, {"bf16", "f32"}, "storage of K and V");
  AddSize(app, "--kv-memory", flags.kv_memory,
          "for K and V; default: a quarter of what is free, at most 4GiB");
  app.add_option("--threads", flags.threads, "that compute, in all; 0: one per core")
      ->capture_default_str()
      ->check(CLI::Range(0, 1024));
  AddChoice(app, "--exchange", flags.exchange, {"auto", "local", "ucx", "mpi", "nccl"},
            "how workers exchange rows");
  app.add_option("--exchange-bind", flags.exchange_bind,
                 "numeric address of the interface to exchange over; default: 127.0.0.1, with "
                 "--insecure 0.0.0.0 (every interface)")
      ->type_name("ADDR");
  app.add_option("--ucx-transports", flags.ucx_transports, "such as tcp; default: UCX's choice")
      ->type_name("LIST");
  app.add_option("--rows-max", flags.rows_max, "rows of its own a worker takes in one step")
      ->capture_default_str()
      ->check(CLI::Range(1, kRowsPerStepMax));
  app.add_option("--arrivals-max", flags.arrivals_max, "rows a worker takes in one exchange")
      ->capture_default_str()
      ->check(CLI::Range(1, kRowsPerStepMax));
}

absl::Status Apply(const ComputeFlags& flags, bool insecure, WorkerOptions& options) {
  if (!flags.exchange_bind.empty()) {
    RETURN_IF_ERROR(CheckExposure("--exchange-bind", flags.exchange_bind + ":0", insecure));
    options.ucx.bind = flags.exchange_bind;
  } else {
    options.ucx.bind = insecure ? "0.0.0.0" : "127.0.0.1";
  }
  ASSIGN_OR_RETURN(options.kernels, ParseKernelChoice(flags.kernels));
  options.kv_dtype = flags.kv_dtype == "f32" ? DType::kF32 : DType::kBf16;
  options.kv_memory_bytes = flags.kv_memory;
  options.threads = flags.threads;
  options.exchange = flags.exchange;
  options.ucx.transports = flags.ucx_transports;
  options.rows_max = flags.rows_max;
  options.arrivals_max = flags.arrivals_max;
  return absl::OkStatus();
}

}  // namespace conclave
