#include "worker/edge/loader.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/edge/clock.h"
#include "kernels/kernel_set.h"

namespace conclave {

Loader::Loader(Shard& shard, Done done)
    : shard_(shard), done_(std::move(done)), thread_([this] { Run(); }) {}

Loader::~Loader() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Loader::Load(Epoch epoch, Placement placement, Slot slot) {
  {
    std::lock_guard lock(mutex_);
    waiting_ = Ask{epoch, std::move(placement), slot};
  }
  wake_.notify_all();
}

void Loader::Finish() {
  std::unique_lock lock(mutex_);
  waiting_.reset();
  idle_.wait(lock, [this] { return !loading_; });
}

void Loader::Run() {
  SetComputeThreadFloatMode();  // this thread is a lane while it packs
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || waiting_.has_value(); });
    if (stopping_) return;
    const Ask ask = *std::exchange(waiting_, std::nullopt);
    loading_ = true;
    lock.unlock();
    absl::Status status = shard_.LoadMissingExperts(ask.placement, ask.slot);
    done_(ask.epoch, std::move(status));
    lock.lock();
    loading_ = false;
    idle_.notify_all();
  }
}

LoadLog::LoadLog(std::string what, LogFn log)
    : what_(std::move(what)), log_(std::move(log)), began_(SteadyMicros()), said_(began_) {}

LoadProgressFn LoadLog::AsFunction() {
  return [this](std::uint64_t done, std::uint64_t total) { Hear(done, total); };
}

void LoadLog::Hear(std::uint64_t done, std::uint64_t total) {
  constexpr Micros kSayEvery = 2'000'000;
  const Micros now = SteadyMicros();
  if (done < done_) began_ = now;  // the next load
  done_ = done;
  if (done < total && now - said_ < kSayEvery) return;
  said_ = now;
  const double seconds = static_cast<double>(std::max<Micros>(1, now - began_)) / 1e6;
  log_(LogLevel::kInfo,
       absl::StrFormat("%s: %.2f of %.2f GB packed, %.2f GB/s", what_,
                       static_cast<double>(done) / 1e9, static_cast<double>(total) / 1e9,
                       static_cast<double>(done) / 1e9 / seconds));
}

}  // namespace conclave
