// What this machine can do right now, measured: the denominators of every fraction we report.
// Bandwidth of shared machines changes from second to second, so a fraction is honest only against
// a reading taken next to its sample.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/lane.h"

namespace conclave {

// All lanes together. Zero where this CPU (or this build) has no such instruction.
struct MachineReading {
  double read_gbps = 0;    // 10^9 bytes per second, from memory
  double int8_gops = 0;    // 10^9 multiplications and additions per second, VPDPBUSD
  double bf16_gflops = 0;  // VDPBF16PS
  double fp32_gflops = 0;  // fused multiply-add
};

// Keeps the memory that bandwidth is read from, several times the last-level cache, so that a
// reading costs its budget at most. Use from one thread; the team's threads do the work.
class MachineMeter {
 public:
  MachineMeter();
  ~MachineMeter();
  MachineMeter(const MachineMeter&) = delete;
  MachineMeter& operator=(const MachineMeter&) = delete;

  // The mean over about budget_ms.
  double ReadGbps(Lanes& lanes, std::int64_t budget_ms);
  // The best of several runs within about budget_ms each.
  double Int8Gops(Lanes& lanes, std::int64_t budget_ms) const;
  double Bf16Gflops(Lanes& lanes, std::int64_t budget_ms) const;
  double Fp32Gflops(Lanes& lanes, std::int64_t budget_ms) const;

 private:
  struct Memory;
  std::unique_ptr<Memory> memory_;
};

// All four, about budget_ms in all (and the time to touch the memory once).
MachineReading MeasureMachine(Lanes& lanes, std::int64_t budget_ms);

}  // namespace conclave
