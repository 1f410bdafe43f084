// The processes: one coordinator, workers at numbered places. The only place that starts and kills
// them. From the main thread: children die with the thread that started them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "cli/child_process.h"
#include "torture/log_book.h"
#include "torture/net_lab.h"

namespace conclave::torture {

struct FleetOptions {
  std::string model;
  std::string programs;  // where conclave-coordinator and conclave-worker lie
  int workers = 4;
  int workers_max = 8;
  int threads = 1;                                    // each worker's
  std::uint64_t kv_memory = std::uint64_t{64} << 20;  // each worker's
  std::string kv_dtype = "bf16", kernels = "auto", exchange = "auto", ucx_transports;
  std::vector<std::string> worker_flags;       // passed to every worker as they are
  std::vector<std::string> coordinator_flags;  // passed to the coordinator as they are
};

class Fleet {
 public:
  // `net` may be null: everything on 127.0.0.1. Both outlive the fleet.
  Fleet(FleetOptions options, LogBook& book, NetLab* net);

  // Starts it and waits until it listens; the second time at the addresses of the first. It waits
  // for `workers` workers before it serves.
  absl::Status StartCoordinator(int workers);
  void KillCoordinator();
  bool CoordinatorThere() const { return coordinator_ != nullptr; }
  bool CoordinatorDied() { return coordinator_ != nullptr && !coordinator_->Alive(); }
  std::string CoordinatorEpitaph() { return coordinator_->Epitaph(); }
  const std::string& address() const { return address_; }
  const std::string& admin_address() const { return admin_; }

  absl::Status StartWorker(int place);
  // Null: nobody there.
  ChildProcess* At(int place) { return Slot(place).get(); }
  // Frees the place of a worker that has ended. Returns how it ended.
  std::string Bury(int place);
  void Signal(int place, int signal);

  // A worker that must be rejected: `model` and `flags` replace the usual ones.
  absl::StatusOr<std::unique_ptr<ChildProcess>> StartStranger(
      const std::string& model, const std::vector<std::string>& flags);

  const FleetOptions& options() const { return options_; }

 private:
  std::unique_ptr<ChildProcess>& Slot(int place) {
    return workers_[static_cast<std::size_t>(place)];
  }
  std::vector<std::string> WorkerArguments(const std::string& model) const;
  std::string Host() const;

  const FleetOptions options_;
  LogBook& book_;
  NetLab* const net_;
  std::string address_, admin_, admin_http_;
  std::unique_ptr<ChildProcess> coordinator_;
  std::vector<std::unique_ptr<ChildProcess>> workers_;
  int strangers_ = 0;
};

}  // namespace conclave::torture
