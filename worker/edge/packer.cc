#include "worker/edge/packer.h"

#include <utility>

#include "kernels/kernel_set.h"
#include "worker/spare.h"
#include "worker/edge/threads.h"

namespace conclave {

Packer::Packer(Shard& shard, Done done, Micros stock_after)
    : shard_(shard),
      done_(std::move(done)),
      stock_after_(stock_after),
      thread_([this] { Run(); }) {}

Packer::~Packer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    ++generation_;
  }
  wake_.notify_all();
  thread_.join();
}

void Packer::ForgetLoads() {
  ++generation_;
  std::erase_if(jobs_, [](const Job& job) {
    return std::holds_alternative<LoadAside>(job) || std::holds_alternative<Silent>(job);
  });
}

void Packer::Load(LoadAside load) {
  {
    const std::lock_guard lock(mutex_);
    ForgetLoads();
    loading_ = true;
    jobs_.emplace_back(std::move(load));
  }
  wake_.notify_all();
}

void Packer::Preload(Placement placement, Slot slot) {
  {
    const std::lock_guard lock(mutex_);
    ForgetLoads();
    jobs_.emplace_back(Silent{{Epoch{}, std::move(placement), slot}});
  }
  wake_.notify_all();
}

void Packer::Trim(TrimExperts trim) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.emplace_back(std::move(trim));
  }
  wake_.notify_all();
}

void Packer::Discard(Unwanted backend) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.emplace_back(std::move(backend));
  }
  wake_.notify_all();
}

void Packer::Drop() {
  const std::lock_guard lock(mutex_);
  ForgetLoads();
  loading_ = false;
}

void Packer::Yield(const Placement& placement, Slot slot) {
  const std::lock_guard lock(mutex_);
  ++generation_;
  std::erase_if(jobs_, [](const Job& job) { return !std::holds_alternative<Unwanted>(job); });
  loading_ = false;
  to_stock_.reset();  // the Trim that follows knows how many
  running_ = Share{placement, slot};
}

// False: it is to end. Meanwhile, if idle for long enough, it makes memory ready.
bool Packer::AwaitJob(Lock& lock) {
  const auto stock_from = std::chrono::steady_clock::now() + stock_after_;
  const auto wanted = [this] { return stopping_ || !jobs_.empty(); };
  while (!wanted()) {
    if (!to_stock_.has_value()) {
      wake_.wait(lock, wanted);
    } else if (!wake_.wait_until(lock, stock_from, wanted)) {
      const std::size_t experts = *to_stock_;
      lock.unlock();
      const bool more = shard_.Stock(experts);
      lock.lock();
      if (!more) to_stock_.reset();
    }
  }
  return !stopping_;
}

void Packer::Run() {
  NameThisThread("packer");
  LowerThisThread();
  SetComputeThreadFloatMode();  // this thread computes
  Lock lock(mutex_);
  while (true) {
    if (!AwaitJob(lock)) return;
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    if (auto* unwanted = std::get_if<Unwanted>(&job)) {
      lock.unlock();
      unwanted->reset();
      lock.lock();
      continue;
    }
    if (const auto* trim = std::get_if<TrimExperts>(&job)) {
      Trim(lock, *trim);
      continue;
    }
    if (const auto* silent = std::get_if<Silent>(&job)) {
      static_cast<void>(Load(lock, silent->load));  // what fits, fits
      continue;
    }
    const auto& load = std::get<LoadAside>(job);
    const std::uint64_t generation = generation_;
    const std::optional<absl::Status> status = Load(lock, load);
    if (!status.has_value() || generation != generation_) continue;
    loading_ = false;
    lock.unlock();
    done_(load.epoch, *status);
    lock.lock();
  }
}

// Memory is given back without the lock: who yields to an urgent load must not wait for it.
void Packer::Trim(Lock& lock, const TrimExperts& trim) {
  running_ = Share{trim.placement, trim.slot};
  to_stock_ = ExpertsToSpareFor(trim.placement, trim.slot);
  const Shard::Share keep = running_->view();
  std::vector<MemoryBlock> dropped = shard_.Trim({&keep, 1});
  lock.unlock();
  dropped.clear();
  lock.lock();
}

// What is to be packed. When there is no room, what neither this load nor the running epoch needs
// goes first.
absl::StatusOr<std::vector<std::size_t>> Packer::Plan(Lock& lock, const LoadAside& load) {
  const Shard::Share next{load.placement, load.slot};
  absl::StatusOr<std::vector<std::size_t>> missing = shard_.Missing(next);
  if (!missing.ok() || shard_.Room(missing->size()).ok()) return missing;
  std::vector<Shard::Share> keep = {next};
  if (running_.has_value()) keep.push_back(running_->view());
  std::vector<MemoryBlock> dropped = shard_.Trim(keep);
  lock.unlock();
  dropped.clear();
  lock.lock();
  if (absl::Status room = shard_.Room(missing->size()); !room.ok()) return room;
  return missing;
}

// Nothing when it was stopped.
std::optional<absl::Status> Packer::Load(Lock& lock, const LoadAside& load) {
  const std::uint64_t generation = generation_;
  const absl::StatusOr<std::vector<std::size_t>> missing = Plan(lock, load);
  if (generation != generation_) return std::nullopt;
  if (!missing.ok()) return missing.status();
  for (const std::size_t index : *missing) {
    lock.unlock();
    absl::StatusOr<Shard::PackedExpert> packed = shard_.Pack(index);
    lock.lock();
    if (generation != generation_) return std::nullopt;
    if (!packed.ok()) return packed.status();
    shard_.Put(*std::move(packed));
  }
  return absl::OkStatus();
}

}  // namespace conclave
