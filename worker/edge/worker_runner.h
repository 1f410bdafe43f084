// A worker, put together: weights, core, exchange backend, control link and the thread that runs
// steps. The only place that owns them.
//
// Threads (named, see threads.h): the strand takes events, carries out effects, and runs kernels and
// exchanges inline; the loader and the packer load experts and open staged epochs; one thread sends
// heartbeats; one keeps the control link. Only an abort does not wait for the strand: a newer epoch
// ends an exchange that would wait for a lost worker.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/edge/flight_recorder.h"
#include "base/log.h"
#include "exchange/backends.h"
#include "grpcpp/channel.h"
#include "kernels/kernel_set.h"
#include "protocol/control.h"

namespace conclave {

struct WorkerOptions {
  std::string model_dir;
  Role role = Role::kWorker;
  KernelChoice kernels = KernelChoice::kAuto;
  std::optional<std::uint64_t> kv_memory_bytes;  // unset: see PlanKv
  DType kv_dtype = DType::kBf16;
  int threads = 0;                      // 0: as many as cores here
  std::optional<int> first_cpu_pinned;  // unset: the operating system decides
  std::string exchange = "auto";        // auto: local when a hub is given, else the best built in
  LocalHub* hub = nullptr;              // for `local`: workers of one process share it
  UcxOptions ucx;
  std::int32_t rows_max = 4096;  // rows of its own in a step
  // Rows of others that may arrive in one round of an exchange; unset: what kRoundBytes hold.
  std::optional<std::int32_t> arrivals_max;
  std::int32_t sequences_max = 1024;
  std::uint64_t expert_memory_bytes = 0;  // room for experts; 0: no limit known
  Micros exchange_timeout = 60'000'000;   // a backstop: dead peers are the coordinator's to find
  Micros open_timeout = 30'000'000;
  Micros trial_limit = 2'000'000;  // for every peer's frame when a staged epoch's links are tried
  std::shared_ptr<grpc::Channel> coordinator;
  // For messages. Empty: it is in this process, and a lost link is the end: gRPC 1.51 crashes when
  // a channel within the process outlives its server.
  std::string coordinator_address;
  LogFn log;                           // must be set
  FlightRecorder* recorder = nullptr;  // outlives the runner; null: its own
};

// What the outside may look at, any time.
struct WorkerReport {
  bool ready = false;   // experts loaded, epoch committed
  bool linked = false;  // the coordinator answers
  Epoch epoch;
  std::uint64_t progress = 0;
  std::uint64_t steps = 0;
  std::uint64_t bytes_sent = 0, bytes_received = 0;  // frames exchanged with other workers
  std::uint64_t weights_bytes = 0;  // packed, experts included
  std::uint64_t kv_bytes = 0;
  std::uint64_t rss_bytes = 0;
  std::vector<PhaseTime> phases;  // summed, by index into kPhaseNames
  std::string kernels, exchange;
};

struct WorkerExit {
  bool failed = false;
  std::string reason;
};

class WorkerRunner {
 public:
  // Opens the model, packs what every placement needs (with progress in the log), links up. Errors
  // are one line that says what to do.
  static absl::StatusOr<std::unique_ptr<WorkerRunner>> Start(WorkerOptions options);
  ~WorkerRunner();  // stops at once

  void Leave();  // asks the coordinator to be drained; the exit comes when it is
  // Waits until the worker has ended, at most `timeout`.
  std::optional<WorkerExit> WaitForExit(Micros timeout);
  WorkerReport Report() const;

 private:
  class Impl;
  explicit WorkerRunner(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Probes and metrics as text, for the worker's HTTP pages.
std::string RenderMetrics(const WorkerReport& report);

}  // namespace conclave
