// A real coordinator and real workers as threads of one process, put together from options that
// change nothing about the answers.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "conclave/v1/inference.grpc.pb.h"
#include "coordinator/edge/server.h"
#include "exchange/backends.h"
#include "worker/edge/worker_runner.h"

namespace conclave {

struct ClusterOptions {
  int workers = 1;
  int expert_workers = 0;  // of role expert, besides
  KernelChoice kernels = KernelChoice::kAuto;
  DType kv_dtype = DType::kBf16;
  std::string exchange = "local";
  int threads = 1;               // of each worker
  std::optional<int> kv_blocks;  // of each worker; unset: plenty
  std::optional<std::int32_t> arrivals_max;  // of each worker, per round; unset: plenty
  CoordinatorConfig core;        // workers_wanted is set here
};

class Cluster {
 public:
  // Ready to serve models/tales-128e. CHECKs on anything that goes wrong.
  explicit Cluster(const ClusterOptions& options);
  ~Cluster();

  v1::InferenceService::Stub& client() { return *client_; }
  // The value of a metric without labels, as an operator reads it.
  double Metric(const std::string& name) const;
  std::string kernels() const { return workers_.front()->Report().kernels; }
  std::string exchange() const { return workers_.front()->Report().exchange; }
  std::uint64_t bytes_sent() const;      // between workers, summed over them
  std::uint64_t bytes_received() const;

 private:
  LogFn Log();
  std::mutex mutex_;
  std::condition_variable wake_;
  bool ready_ = false;
  std::string lines_;
  LocalHub hub_;
  std::unique_ptr<CoordinatorServer> server_;
  std::vector<std::unique_ptr<WorkerRunner>> workers_;
  std::unique_ptr<v1::InferenceService::Stub> client_;
};

std::string TalesDir();

}  // namespace conclave
