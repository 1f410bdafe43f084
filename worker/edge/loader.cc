#include "worker/edge/loader.h"

#include <utility>

#include "kernels/kernel_set.h"
#include "worker/edge/threads.h"
#include "worker/edge/trial.h"

namespace conclave {

Loader::Loader(Args args)
    : args_(std::move(args)),
      packer_(args_.shard,
              [this](Epoch epoch, absl::Status status) {
                if (status.ok()) return Post(Make{epoch});
                args_.tell(LoadedAside{epoch, std::move(status), {}});
              },
              args_.stock_after),
      thread_([this] { Run(); }) {}

Loader::~Loader() {
  AbortAside(std::nullopt);
  packer_.Drop();
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    stop_load_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Loader::Post(Job job) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  wake_.notify_all();
}

void Loader::Do(LoadExperts load) {
  {
    const std::lock_guard lock(mutex_);
    urgent_ = load.epoch.packed();
  }
  packer_.Yield(load.placement, load.slot);
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(jobs_, [](const Job& job) { return std::holds_alternative<LoadExperts>(job); });
    stop_load_ = true;  // of the one that runs; what it has packed stays
    jobs_.emplace_back(std::move(load));
  }
  wake_.notify_all();
}

void Loader::Do(LoadAside load) {
  {
    const std::lock_guard lock(mutex_);
    wanted_ = load.epoch;
  }
  packer_.Load(std::move(load));
}

void Loader::Do(ConnectAside connect) { Post(std::move(connect)); }

// The lock orders this before or after a LoadExperts, which takes the shard from the packer.
void Loader::Do(Preload preload) {
  const std::lock_guard lock(mutex_);
  // An epoch is being made: its experts are what counts, and none of them may be dropped.
  if (urgent_.load() != 0 || wanted_.has_value()) return;
  if (preload.drop) {
    packer_.Drop();
    packer_.Trim({std::move(preload.placement), preload.slot});
  } else {
    packer_.Preload(std::move(preload.placement), preload.slot);
  }
}

// The loader's thread may be inside that exchange: it is aborted here and destroyed there.
void Loader::Do(DropAside) {
  packer_.Drop();
  {
    const std::lock_guard lock(mutex_);
    DropAsideLocked();
  }
  wake_.notify_all();
}

void Loader::DropAsideLocked() {
  wanted_.reset();
  std::erase_if(jobs_, [](const Job& job) {
    return std::holds_alternative<Make>(job) || std::holds_alternative<ConnectAside>(job);
  });
  if (aside_.backend == nullptr) return;
  aside_.backend->AbortBelow(aside_.epoch.Next());
  jobs_.emplace_back(std::move(aside_.backend));
}

std::unique_ptr<ExchangeBackend> Loader::TakeAside(Epoch epoch) {
  const std::lock_guard lock(mutex_);
  if (aside_.epoch != epoch) return nullptr;
  wanted_.reset();
  return std::move(aside_.backend);
}

void Loader::Forget() {
  packer_.Drop();
  std::unique_lock lock(mutex_);
  DropAsideLocked();
  std::erase_if(jobs_, [](const Job& job) { return std::holds_alternative<LoadExperts>(job); });
  stop_load_ = true;
  urgent_ = 0;
  wake_.notify_all();
  idle_.wait(lock, [this] { return !busy_ && jobs_.empty(); });
}

void Loader::AbortAside(std::optional<Epoch> unless) {
  const std::lock_guard lock(mutex_);
  if (aside_.backend == nullptr || aside_.epoch == unless) return;
  aside_.backend->AbortBelow(aside_.epoch.Next());
}

std::optional<LoadProgress> Loader::Progress() const {
  LoadProgress progress{.epoch = Epoch::FromPacked(urgent_.load(std::memory_order_relaxed)),
                        .expert_bytes = args_.shard.expert_bytes()};
  if (progress.epoch != Epoch{}) return progress;
  if (!packer_.loading()) return std::nullopt;
  const std::lock_guard lock(mutex_);
  progress.epoch = wanted_.value_or(Epoch{});
  return progress;
}

void Loader::Run() {
  NameThisThread("loader");
  SetComputeThreadFloatMode();  // this thread computes while it packs
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (stopping_) return;
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    busy_ = true;
    if (std::holds_alternative<LoadExperts>(job)) stop_load_ = false;
    lock.unlock();
    std::visit([this](auto& one) { Carry(one); }, job);
    lock.lock();
    busy_ = false;
    idle_.notify_all();
  }
}

void Loader::Carry(LoadExperts& load) {
  absl::Status status = args_.shard.LoadMissingExperts(load.placement, load.slot, stop_load_);
  {
    const std::lock_guard lock(mutex_);
    if (urgent_ == load.epoch.packed()) urgent_ = 0;  // else another one waits already
  }
  if (absl::IsCancelled(status)) return;  // the request was replaced or dropped: no answer
  args_.tell(ExpertsLoaded{load.epoch, std::move(status)});
}

void Loader::Carry(Make& make) {
  absl::StatusOr<std::unique_ptr<ExchangeBackend>> backend = args_.new_backend();
  LoadedAside loaded{make.epoch, backend.status(), {}};
  if (backend.ok()) {
    absl::StatusOr<std::string> address = (*backend)->StandbyAddress();
    loaded.status = address.status();
    if (address.ok()) loaded.address = *std::move(address);
  }
  {
    const std::lock_guard lock(mutex_);
    if (wanted_ != make.epoch) return;
    if (loaded.status.ok()) aside_ = {make.epoch, *std::move(backend)};
  }
  args_.tell(std::move(loaded));
}

void Loader::Carry(ConnectAside& connect) {
  ExchangeBackend* backend = nullptr;
  {
    const std::lock_guard lock(mutex_);
    if (aside_.epoch == connect.view.epoch) backend = aside_.backend.get();
  }
  if (backend == nullptr) return;  // dropped meanwhile
  ConnectedAside tried = TryEpoch(*backend, connect.view, args_.trial_limit);
  {
    const std::lock_guard lock(mutex_);
    if (wanted_ != tried.epoch) return;
  }
  args_.tell(std::move(tried));
}

}  // namespace conclave
