// The one thread that owns the coordinator's core. Many threads post events; it stamps them with
// the time, hands them over in batches, and has every effect carried out right after its event.
// What others want to know about the cluster they read from the snapshot that it publishes: nobody
// asks the strand.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "coordinator/core.h"
#include "coordinator/edge/event_times.h"
#include "coordinator/snapshot.h"

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
  // After a batch: the cluster as it stands now, which readers can see already.
  virtual void Observe(const ClusterSnapshot& snapshot) = 0;
};

class CoordinatorStrand {
 public:
  static constexpr std::size_t kAsksWaitingMax = 16384;
  static constexpr Micros kTickMicros = 5'000;

  // `core` and `carrier` outlive the strand. `clock`: by which its own work is timed.
  CoordinatorStrand(CoordinatorCore& core, EffectCarrier& carrier,
                    clockid_t clock = CLOCK_MONOTONIC);
  ~CoordinatorStrand();

  // The event's `now` is ignored: the strand sets it. False when there are kAsksWaitingMax events
  // of clients (asks and aborts) in the queue already, or the strand has stopped; every other event
  // is taken, its number being bounded by streams, links and tickets.
  bool Post(CoordinatorEvent event);
  // The newest picture of the cluster; never null, never waits for the strand. Any thread. A client
  // or operator who was told of something (an ending, an answer, a log line) finds it here.
  std::shared_ptr<const ClusterSnapshot> snapshot() const;
  const EventTimes& times() const { return times_; }
  // Handles what is queued, then stops. No effect is carried out afterwards.
  void Stop();

 private:
  void Run();
  void Handle(CoordinatorEvent& event);
  void Publish(Micros now);

  CoordinatorCore& core_;
  EffectCarrier& carrier_;
  CoordinatorOutbox outbox_;
  EventTimes times_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<CoordinatorEvent> queue_;
  std::size_t asks_waiting_ = 0;
  bool stopping_ = false;

  // Held for as long as it takes to copy a pointer.
  mutable std::mutex published_mutex_;
  std::shared_ptr<const ClusterSnapshot> published_;
  std::thread thread_;
};

}  // namespace conclave
