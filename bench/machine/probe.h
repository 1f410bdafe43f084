// The innermost loops of a machine reading, one table per instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

namespace conclave {

// Runs `rounds` rounds of independent multiply-adds held in registers. Null: no such instruction.
struct Throughput {
  void (*run)(std::int64_t rounds) = nullptr;
  double operations_per_round = 0;
};

struct Probe {
  void (*read)(const std::byte* data, std::size_t bytes);  // bytes: a multiple of 512; aligned 64
  Throughput int8, bf16, fp32;
};

extern const Probe kPlainProbe;
const Probe* Avx2ProbeOrNull();    // null when not built or not on this CPU
const Probe* Avx512ProbeOrNull();  // null when not built or not on this CPU

}  // namespace conclave
