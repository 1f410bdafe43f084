// Loads experts off the strand, one placement at a time.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "base/ids.h"
#include "base/log.h"
#include "protocol/placement.h"
#include "worker/shard.h"

namespace conclave {

class Loader {
 public:
  // Called on the loader's thread, once per Load that was not replaced by a newer one.
  using Done = std::function<void(Epoch epoch, absl::Status status)>;
  Loader(Shard& shard, Done done);
  ~Loader();  // waits for the load that runs

  void Load(Epoch epoch, Placement placement, Slot slot);
  void Finish();  // forgets what waits, waits for what runs

 private:
  struct Ask {
    Epoch epoch;
    Placement placement;
    Slot slot;
  };
  void Run();

  Shard& shard_;
  const Done done_;
  std::mutex mutex_;
  std::condition_variable wake_, idle_;
  std::optional<Ask> waiting_;
  bool loading_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

// Says now and then how far packing is, and how fast.
class LoadLog {
 public:
  LoadLog(std::string what, LogFn log);
  LoadProgressFn AsFunction();  // valid as long as this object

 private:
  void Hear(std::uint64_t done, std::uint64_t total);
  const std::string what_;
  const LogFn log_;
  Micros began_, said_;
  std::uint64_t done_ = 0;
};

}  // namespace conclave
