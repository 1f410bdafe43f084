// Packs experts while steps run: one thread of low priority, one expert after another. An expert
// that is packed stays packed, even if the epoch that it was packed for is given up. When the packer
// has been idle for a while after a Trim, it reserves memory for the experts that this worker would
// have to load if another worker were lost. Without that reserve the survivors of a loss loaded at
// 0.7 GB/s in all instead of 5, because a page's first touch is slow on a virtual machine.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <variant>

#include "absl/status/status.h"
#include "base/ids.h"
#include "exchange/exchange.h"
#include "protocol/control.h"
#include "worker/core.h"
#include "worker/shard.h"

namespace conclave {

class Packer {
 public:
  // Called on the packer's thread, once per Load that was not stopped or replaced.
  using Done = std::function<void(Epoch epoch, absl::Status status)>;
  Packer(Shard& shard, Done done, Micros stock_after);
  ~Packer();  // waits for the expert that is being packed

  // These return at once. A Load replaces the one before it; a Trim is done in its turn.
  void Load(LoadAside load);
  // Packs what is missing of a share, as a Load does, and tells nobody. The next Load replaces it.
  void Preload(Placement placement, Slot slot);
  void Trim(TrimExperts trim);
  void Discard(std::unique_ptr<ExchangeBackend> backend);  // destroys it on the packer's thread
  // Stops the running Load and forgets those that wait.
  void Drop();
  // Hands exclusive ownership of the shard to the caller until the next Load or Trim. The caller
  // makes it hold the given share. An expert being packed is discarded when it completes.
  void Yield(const Placement& placement, Slot slot);

  bool loading() const { return loading_.load(std::memory_order_relaxed); }

 private:
  struct Share {
    Placement placement;
    Slot slot;
    Shard::Share view() const { return {placement, slot}; }
  };
  using Unwanted = std::unique_ptr<ExchangeBackend>;
  struct Silent {  // a load that nobody waits for
    LoadAside load;
  };
  using Job = std::variant<LoadAside, Silent, TrimExperts, Unwanted>;
  using Lock = std::unique_lock<std::mutex>;

  void Run();
  bool AwaitJob(Lock& lock);
  void Trim(Lock& lock, const TrimExperts& trim);
  std::optional<absl::Status> Load(Lock& lock, const LoadAside& load);
  absl::StatusOr<std::vector<std::size_t>> Plan(Lock& lock, const LoadAside& load);
  void ForgetLoads();

  Shard& shard_;
  const Done done_;
  std::mutex mutex_;  // the members below, and changes of the shard while it is not yielded
  std::condition_variable wake_;
  std::deque<Job> jobs_;
  std::uint64_t generation_ = 0;  // rises when loads are stopped: a load of an older one is over
  std::optional<Share> running_;  // what the running epoch needs of this worker
  const std::chrono::microseconds stock_after_;
  std::optional<std::size_t> to_stock_;  // number of experts to reserve memory for; unset: done
  bool stopping_ = false;
  std::atomic<bool> loading_{false};
  std::thread thread_;
};

}  // namespace conclave
