// What all steps of this process took, for metrics.
#pragma once

#include <mutex>

#include "protocol/plan.h"
#include "worker/edge/worker_runner.h"

namespace conclave {

class StepTotals {
 public:
  StepTotals();
  void Add(const StepResult& result);
  WorkerReport Get() const;  // steps, exchanged bytes and phases are set

 private:
  mutable std::mutex mutex_;
  WorkerReport totals_;
};

}  // namespace conclave
