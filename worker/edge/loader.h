// Work that takes long and must not hold up the strand: loading experts, and opening the exchange of
// a staged epoch.
//
// Threads: the loader's own (experts while no step runs, on all compute threads; the staged
// exchange) and the packer's (packer.h). All calls but AbortAside and Progress come from one thread,
// the strand.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "exchange/exchange.h"
#include "protocol/control.h"
#include "worker/core.h"
#include "worker/edge/packer.h"
#include "worker/shard.h"

namespace conclave {

class Loader {
 public:
  struct Args {
    Shard& shard;
    std::function<absl::StatusOr<std::unique_ptr<ExchangeBackend>>()> new_backend;
    // Called on one of the two threads with ExpertsLoaded, LoadedAside or ConnectedAside, once per
    // request that was not replaced, dropped or forgotten.
    std::function<void(WorkerEvent)> tell;
    Micros trial_limit = 2'000'000;  // for all peers' empty frames
    Micros stock_after = 5'000'000;  // see Packer
  };
  explicit Loader(Args args);
  ~Loader();  // ends what runs, soon

  void Do(LoadExperts load);  // ends what the packer does, and a load before it
  void Do(LoadAside load);
  void Do(ConnectAside connect);
  void Do(DropAside drop);
  void Do(TrimExperts trim) { packer_.Trim(std::move(trim)); }
  // Any thread: see Preload in protocol/control.h.
  void Do(Preload preload);
  // The staged exchange, after ConnectedAside reported success; null if it was discarded since.
  std::unique_ptr<ExchangeBackend> TakeAside(Epoch epoch);
  // Destroys it off the strand, when there is time.
  void Discard(std::unique_ptr<ExchangeBackend> backend) { packer_.Discard(std::move(backend)); }
  // Forgets every request and waits until no expert is packed on the compute threads. Packed experts
  // stay.
  void Forget();

  // Any thread. Aborts the staged exchange unless it is of epoch `unless`.
  void AbortAside(std::optional<Epoch> unless);
  // Any thread. What the shard holds, if a load runs.
  std::optional<LoadProgress> Progress() const;

 private:
  struct Make {  // the backend for an epoch whose experts are packed
    Epoch epoch;
  };
  using Unwanted = std::unique_ptr<ExchangeBackend>;
  using Job = std::variant<LoadExperts, Make, ConnectAside, Unwanted>;
  // The backend, made and used by the loader's thread until it is taken.
  struct AsideExchange {
    Epoch epoch;
    std::unique_ptr<ExchangeBackend> backend;
  };

  void Post(Job job);
  void Run();
  void Carry(LoadExperts& load);
  void Carry(Make& make);
  void Carry(ConnectAside& connect);
  void Carry(Unwanted& backend) { backend.reset(); }
  void DropAsideLocked();

  const Args args_;
  mutable std::mutex mutex_;
  std::condition_variable wake_, idle_;
  std::deque<Job> jobs_;
  bool busy_ = false;
  bool stopping_ = false;
  std::optional<Epoch> wanted_;  // the epoch that is being staged
  AsideExchange aside_;
  std::atomic<bool> stop_load_{false};
  // The epoch whose experts must be packed on all compute threads; 0: none.
  std::atomic<std::uint64_t> urgent_{0};
  Packer packer_;
  std::thread thread_;
};

}  // namespace conclave
