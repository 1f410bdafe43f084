#include "coordinator/edge/strand.h"

#include <chrono>
#include <future>
#include <memory>
#include <utility>

#include "base/edge/clock.h"

namespace conclave {

CoordinatorStrand::CoordinatorStrand(CoordinatorCore& core, EffectCarrier& carrier)
    : core_(core), carrier_(carrier), thread_([this] { Run(); }) {}

CoordinatorStrand::~CoordinatorStrand() { Stop(); }

bool CoordinatorStrand::Post(CoordinatorEvent event) {
  const bool asks = std::holds_alternative<ClientAsked>(event);
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

bool CoordinatorStrand::Ask(Question question) {
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return false;
    queue_.emplace_back(std::move(question));
  }
  wake_.notify_one();
  return true;
}

ClusterStatus CoordinatorStrand::AskStatus() {
  auto answer = std::make_shared<std::promise<ClusterStatus>>();
  std::future<ClusterStatus> answered = answer->get_future();
  const bool asked = Ask(
      [answer](const CoordinatorCore& core, Micros now) { answer->set_value(core.Status(now)); });
  return asked ? answered.get() : ClusterStatus{};
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
  const Micros now = SteadyMicros();
  std::visit([now](auto& known) { known.now = now; }, event);
  carrier_.Begin(event, now);
  core_.Handle(event, outbox_);
  for (CoordinatorEffect& effect : outbox_) carrier_.Carry(effect, now);
  outbox_.clear();
  carrier_.Settle(event, now);
}

void CoordinatorStrand::Run() {
  std::vector<Item> batch;
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
    for (Item& item : batch) {
      if (auto* question = std::get_if<Question>(&item)) {
        (*question)(core_, SteadyMicros());
      } else {
        Handle(std::get<CoordinatorEvent>(item));
      }
    }
    batch.clear();
    if (SteadyMicros() >= next_tick) {
      CoordinatorEvent tick = Ticked{};
      Handle(tick);
      next_tick = SteadyMicros() + kTickMicros;
    }
    carrier_.Observe(core_);
  }
}

}  // namespace conclave
