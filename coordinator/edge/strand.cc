#include "coordinator/edge/strand.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <variant>

#include "base/edge/clock.h"

namespace conclave {
namespace {

// Of a client, who may send them as fast as the network takes them.
bool IsOfClient(const CoordinatorEvent& event) {
  return std::holds_alternative<ClientAsked>(event) || std::holds_alternative<AbortAsked>(event);
}

// Whether somebody learns from the effect that the cluster or a request is not what it was. The
// frequent effects, tokens and steps, do not say so.
bool Announces(const CoordinatorEffect& effect) {
  if (const auto* tell = std::get_if<TellText>(&effect)) {
    return std::holds_alternative<TextEnding>(tell->what);
  }
  if (const auto* tell = std::get_if<TellWorker>(&effect)) {
    return !std::holds_alternative<StepAsk>(tell->message);
  }
  return true;
}

}  // namespace

CoordinatorStrand::CoordinatorStrand(CoordinatorCore& core, EffectCarrier& carrier,
                                     clockid_t clock)
    : core_(core), carrier_(carrier), times_(clock), published_(core.Snapshot(SteadyMicros())) {
  thread_ = std::thread([this] { Run(); });
}

CoordinatorStrand::~CoordinatorStrand() { Stop(); }

bool CoordinatorStrand::Post(CoordinatorEvent event) {
  const bool asks = IsOfClient(event);
  bool was_empty = false;
  {
    std::lock_guard lock(mutex_);
    if (stopping_ || (asks && asks_waiting_ >= kAsksWaitingMax)) return false;
    asks_waiting_ += asks ? 1 : 0;
    was_empty = queue_.empty();
    queue_.emplace_back(std::move(event));
  }
  if (was_empty) wake_.notify_one();
  return true;
}

std::shared_ptr<const ClusterSnapshot> CoordinatorStrand::snapshot() const {
  std::lock_guard lock(published_mutex_);
  return published_;
}

void CoordinatorStrand::Publish(Micros now) {
  std::shared_ptr<const ClusterSnapshot> snapshot = core_.Snapshot(now);
  std::lock_guard lock(published_mutex_);
  published_.swap(snapshot);  // the old one is destroyed after the lock is released
}

void CoordinatorStrand::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void CoordinatorStrand::Handle(CoordinatorEvent& event) {
  const std::int64_t began = times_.Now();
  const Micros now = SteadyMicros();
  std::visit([now](auto& known) { known.now = now; }, event);
  carrier_.Begin(event, now);
  core_.Handle(event, outbox_);
  if (std::ranges::any_of(outbox_, Announces)) Publish(now);
  for (CoordinatorEffect& effect : outbox_) carrier_.Carry(effect, now);
  outbox_.clear();
  carrier_.Settle(event, now);
  times_.Add(event, times_.Now() - began);
}

void CoordinatorStrand::Run() {
  std::vector<CoordinatorEvent> batch;
  Micros next_tick = SteadyMicros();
  while (true) {
    {
      std::unique_lock lock(mutex_);
      const Micros wait = next_tick - SteadyMicros();
      if (wait > 0) {
        wake_.wait_for(lock, std::chrono::microseconds(wait),
                       [this] { return stopping_ || !queue_.empty(); });
      }
      if (stopping_ && queue_.empty()) return;
      batch.swap(queue_);
      asks_waiting_ = 0;
    }
    for (CoordinatorEvent& event : batch) Handle(event);
    batch.clear();
    if (SteadyMicros() >= next_tick) {
      CoordinatorEvent tick = Ticked{};
      Handle(tick);
      next_tick = SteadyMicros() + kTickMicros;
    }
    const std::int64_t began = times_.Now();
    Publish(SteadyMicros());
    times_.AddPublish(times_.Now() - began);
    carrier_.Observe(*published_);  // only this thread replaces it
  }
}

}  // namespace conclave
