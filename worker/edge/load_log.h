// Says now and then how far packing is, and how fast.
#pragma once

#include <cstdint>
#include <string>

#include "base/ids.h"
#include "base/log.h"
#include "worker/shard.h"

namespace conclave {

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
