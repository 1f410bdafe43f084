// Where a test may bend what is on its way, to see whether the checkers notice. The cores do not
// know; without a tamper nothing is bent.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/ids.h"
#include "coordinator/events.h"
#include "worker/core.h"

namespace conclave::sim {

class Tamper {
 public:
  virtual ~Tamper() = default;
  // All effects of one event, before they are carried out.
  virtual void OfCoordinator(CoordinatorOutbox&) {}
  // All parts that one order for a text stage made, before clients are sent them.
  virtual void OfText(std::vector<TellClient>&) {}
  virtual void OfWorker(int /*node*/, WorkerOutbox&) {}
  // A message of the coordinator as a worker is about to hear it.
  virtual void OfArrival(int /*node*/, ToWorker&) {}
  // One frame of an exchange, before it arrives.
  virtual void OfFrame(std::span<std::byte> /*frame*/) {}
  // Before the coordinator hears of it; false: it never does.
  virtual bool OfEvent(CoordinatorEvent&) { return true; }
};

}  // namespace conclave::sim
