// The one thread that owns the coordinator's core. Many threads post events; it stamps them with
// the time, hands them over in batches, and has every effect carried out right after its event.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <thread>
#include <variant>
#include <vector>

#include "coordinator/core.h"

namespace conclave {

// Where effects go. Called on the strand only; must not block.
class EffectCarrier {
 public:
  virtual ~EffectCarrier() = default;
  // Before the core hears of `event`.
  virtual void Begin(const CoordinatorEvent& event, Micros now) = 0;
  virtual void Carry(CoordinatorEffect& effect, Micros now) = 0;
  // After all effects of `event`: nothing more will come of it.
  virtual void Settle(const CoordinatorEvent& event, Micros now) = 0;
  // After a batch: the core as it stands now.
  virtual void Observe(const CoordinatorCore& core) = 0;
};

class CoordinatorStrand {
 public:
  // Asked on the strand, between events.
  using Question = std::function<void(const CoordinatorCore&, Micros now)>;

  static constexpr std::size_t kAsksWaitingMax = 16384;
  static constexpr Micros kTickMicros = 5'000;

  // `core` and `carrier` outlive the strand.
  CoordinatorStrand(CoordinatorCore& core, EffectCarrier& carrier);
  ~CoordinatorStrand();

  // The event's `now` is ignored: the strand sets it. False when there are kAsksWaitingMax client
  // asks in the queue already (or the strand has stopped); every other event is taken, its number
  // being bounded by streams and links.
  bool Post(CoordinatorEvent event);
  // False when stopped; the question is dropped then.
  bool Ask(Question question);
  // The status as of now; waits for the strand. Not for reactors.
  ClusterStatus AskStatus();
  // Handles what is queued, then stops. No effect is carried out afterwards.
  void Stop();

 private:
  using Item = std::variant<CoordinatorEvent, Question>;
  void Run();
  void Handle(CoordinatorEvent& event);

  CoordinatorCore& core_;
  EffectCarrier& carrier_;
  CoordinatorOutbox outbox_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Item> queue_;
  std::size_t asks_waiting_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace conclave
