// The coordinator's core: every decision of the cluster, and nothing else. Handle(event, outbox):
// no I/O, no clock, no thread, no lock, no randomness of its own. Time is a field of the event.
// Edges turn gRPC callbacks into events and effects into writes; the simulator drives the same
// class in virtual time.
#pragma once

#include <memory>

#include "coordinator/cluster_status.h"
#include "coordinator/config.h"
#include "coordinator/events.h"
#include "text/text.h"

namespace conclave {

struct ClusterSnapshot;  // coordinator/snapshot.h

class CoordinatorCore {
 public:
  using Model = ServedModel;
  // `text` may be null: token ids only, no stop strings.
  CoordinatorCore(const CoordinatorConfig& config, Model model, const Text* text);
  ~CoordinatorCore();

  void Handle(const CoordinatorEvent& event, CoordinatorOutbox& outbox);
  // The cluster as it stands now, for readers on other threads. Costs microseconds; call it after
  // a batch of events.
  std::shared_ptr<const ClusterSnapshot> Snapshot(Micros now);
  // The same spelt out, made anew: for tests and the simulator.
  ClusterStatus Status(Micros now) const;
  bool ready() const;  // an epoch is committed and every expert has an owner

  // CHECKs that blocks, requests and plans in flight add up. For tests and the simulator.
  void CheckInvariants() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace conclave
