// What every reactor needs to do its one thing. Owned by the server, which outlives all reactors.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <random>
#include <string>

#include "base/ids.h"
#include "coordinator/core.h"
#include "coordinator/edge/admin_desk.h"
#include "coordinator/edge/strand.h"
#include "coordinator/edge/switchboard.h"
#include "coordinator/edge/work_pool.h"
#include "model/config.h"
#include "text/text.h"

namespace conclave {

// Seeds and request ids for clients that bring none. Thread-safe.
class Dice {
 public:
  Dice() : generator_(std::random_device{}()) {}
  std::uint64_t Roll() {
    std::lock_guard lock(mutex_);
    return (static_cast<std::uint64_t>(generator_()) << 32) ^ generator_();
  }

 private:
  std::mutex mutex_;
  std::mt19937_64 generator_;
};

struct Serving {
  const Text* text = nullptr;  // null: token ids only
  ModelConfig config;
  ModelFacts facts;
  std::string version, commit;
  Micros started_at = 0;

  Switchboard* switchboard = nullptr;
  AdminDesk* desk = nullptr;
  CoordinatorStrand* strand = nullptr;
  WorkPool* pool = nullptr;
  Dice dice;
  std::atomic<bool> draining{false};  // new requests are turned away
};

}  // namespace conclave
