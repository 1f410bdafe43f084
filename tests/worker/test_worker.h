// Several workers in one thread: the real cores, their events and effects carried by hand, frames
// copied from memory to memory. And a small scheduler on top, so that a test can say "these
// requests, in chunks of 7, on 3 workers" and compare what comes out.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/kernel_set.h"
#include "kernels/lane.h"
#include "model/config.h"
#include "model/tensors.h"
#include "protocol/plan.h"
#include "worker/core.h"
#include "worker/shard.h"

namespace conclave {

// Lanes one after another in the calling thread: what a kernel divides among them is divided.
class LanesInTurn final : public Lanes {
 public:
  explicit LanesInTurn(int count) : count_(count) {}
  int count() const override { return count_; }
  void Run(absl::FunctionRef<void(const Lane&)> work) override;

 private:
  int count_;
};

// A clock that moves by one at every look.
class CountingTrace final : public Trace {
 public:
  std::uint64_t NowMicros() override { return ++now_; }

 private:
  std::uint64_t now_ = 0;
};

// Everything here outlives the cluster.
struct TestClusterOptions {
  int workers = 1;         // of role kWorker
  int expert_workers = 0;  // of role kExpert, on slots among the others
  const KernelSet* kernels = &kRefKernels;
  DType kv_dtype = DType::kF32;
  int lanes = 1;
  std::int32_t rows_max = 512;
  std::int32_t arrivals_max = 2048;
  std::int32_t rounds = 0;  // of every step; 0: as few as arrivals_max allows
  std::int32_t kv_blocks = 96;
  std::int32_t sequences_max = 80;
  // Owners of (layer, expert) among `slots` live ones; empty: expert % slots.
  std::function<std::vector<int>(int layer, int expert, int slots)> owners;
};

class TestCluster {
 public:
  TestCluster(const ModelConfig& model, const TensorSource& tensors,
              const TestClusterOptions& options);
  ~TestCluster();

  // A new epoch over all workers; steps go on where they were.
  void Reconfigure(const Placement& placement);
  Placement DefaultPlacement() const;

  struct Outcome {
    std::vector<StepResult> results;  // by slot; empty when broken
    std::vector<StepBroken> broken;
    bool ok() const { return broken.empty(); }
  };
  // One step of all workers; parts by slot. The step's number is the next one.
  Outcome Run(const std::vector<WorkerPart>& parts);
  std::vector<WorkerPart> EmptyParts() const;
  std::vector<StepAsk> Asks(const std::vector<WorkerPart>& parts) const;

  // Piece by piece, for tests of what goes wrong.
  void Deliver(int worker, const WorkerEvent& event);
  Outcome Pump();  // carries frames until nothing moves
  std::vector<FromWorker> TakeTold(int worker);

  int change_overs(int worker) const {
    return nodes_[static_cast<std::size_t>(worker)]->change_overs;
  }
  int asides_dropped(int worker) const {
    return nodes_[static_cast<std::size_t>(worker)]->asides_dropped;
  }
  int size() const { return static_cast<int>(nodes_.size()); }
  WorkerCore& core(int worker) { return *nodes_[static_cast<std::size_t>(worker)]->core; }
  Shard& shard(int worker) { return *nodes_[static_cast<std::size_t>(worker)]->shard; }
  // Workers of role kWorker, rising.
  const std::vector<int>& homes() const { return homes_; }
  const TestClusterOptions& options() const { return options_; }
  Epoch epoch() const { return epoch_; }
  StepId next_step() const { return next_step_; }
  void set_epoch(Epoch epoch) { epoch_ = epoch; }
  void set_next_step(StepId step) { next_step_ = step; }
  std::uint64_t exchanges() const { return exchanges_; }

  // Called for every frame on its way, which it may change.
  std::function<void(Slot from, Slot to, std::span<std::byte>)> on_frame;
  // Asked before every exchange: an error is what every worker's exchange ends with.
  std::function<absl::Status()> on_exchange;
  // Asked when a worker tries the epoch that it made ready aside.
  std::function<absl::Status()> on_connect;
  // Called before and after every call of a core's Handle.
  std::function<void(bool entering)> around_handle;

 private:
  struct Node {
    std::unique_ptr<LanesInTurn> lanes;
    CountingTrace trace;
    std::unique_ptr<Shard> shard;
    std::unique_ptr<WorkerCore> core;
    std::optional<StartExchange> exchange;  // under way
    std::vector<FromWorker> told;
    WorkerOutbox outbox;
    int change_overs = 0;
    int asides_dropped = 0;
  };
  void Handle(Node& node, const WorkerEvent& event);
  void Carry(int worker, WorkerEffect& effect);
  bool ExchangeAll();

  const ModelConfig& model_;
  TestClusterOptions options_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<int> homes_;
  Epoch epoch_{1, 0};
  StepId next_step_{1};
  std::uint64_t exchanges_ = 0;
};

}  // namespace conclave
