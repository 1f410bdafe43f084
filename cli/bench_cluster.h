// Workers as threads of this process, driven by plans directly: no coordinator, no gRPC.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/machine/machine.h"
#include "cli/bench_plan.h"
#include "model/edge/checkpoint.h"
#include "worker/edge/thread_pool.h"
#include "worker/edge/worker_runner.h"

namespace conclave {

struct BenchClusterOptions {
  const Checkpoint& checkpoint;  // outlives the cluster
  WorkerOptions worker;          // kernels, kv_dtype, exchange; threads: in all
  int workers = 1;
  int rows_max = 0, sequences_max = 0, kv_blocks = 0;  // of each
};

class BenchCluster {
 public:
  // Loads weights, opens an epoch with experts spread evenly.
  static absl::StatusOr<std::unique_ptr<BenchCluster>> Start(const BenchClusterOptions& options);
  ~BenchCluster();

  // Submit gives a step to all workers; Await takes the oldest one's results, by slot. At most
  // kPlansAheadMax submitted and not awaited. An error ends the cluster.
  void Submit(std::vector<WorkerPart> parts);
  absl::StatusOr<std::vector<StepResult>> Await();

  // With one worker by its own threads; with several by a team of as many, while they sleep.
  MachineReading Measure(std::int64_t budget_ms);

  std::uint64_t weights_bytes() const;
  std::uint64_t kv_bytes() const;
  const std::string& kernels() const { return kernels_; }
  bool computes_in_bf16() const { return bf16_; }

 private:
  class Node;
  BenchCluster() = default;
  absl::Status OpenEpoch(const ModelConfig& model);

  LocalHub hub_;
  std::shared_ptr<const void> kept_;  // what the nodes refer to
  std::string kernels_;
  bool bf16_ = false;
  std::uint64_t kv_bytes_ = 0;
  std::uint64_t next_step_ = 1;
  std::unique_ptr<ThreadPool> team_;
  std::unique_ptr<MachineMeter> meter_;
  std::vector<std::unique_ptr<Node>> nodes_;
};

}  // namespace conclave
