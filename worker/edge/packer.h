// Packs experts beside running steps: one thread at a low priority, one expert after another.
// What it has packed stays packed, whatever becomes of the epoch it was for. When there has been
// nothing to do for a while after a Trim, it makes memory ready for the experts that this worker
// would have to load if another were lost: on a virtual machine a page's first touch takes so long
// that survivors loaded at 0.7 GB/s in all instead of 5.
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
  void Discard(std::unique_ptr<ExchangeBackend> backend);  // likewise
  // No Load goes on.
  void Drop();
  // From now on, until the next Load or Trim, the shard is the caller's, who makes it hold the
  // share given. Does not wait for the expert that is being packed: it is thrown away.
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
  std::uint64_t generation_ = 0;  // a load that began under another one is over
  std::optional<Share> running_;  // what the running epoch needs
  const std::chrono::microseconds stock_after_;
  std::optional<std::size_t> to_stock_;  // the experts there is to be memory for
  bool stopping_ = false;
  std::atomic<bool> loading_{false};
  std::thread thread_;
};

}  // namespace conclave
