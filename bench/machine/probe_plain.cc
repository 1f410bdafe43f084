// Reading memory with what every CPU has.
#include <cstring>

#include "bench/machine/probe.h"

namespace conclave {
namespace {

void Read(const std::byte* data, std::size_t bytes) {
  std::uint64_t sum[8] = {};
  for (std::size_t at = 0; at < bytes; at += sizeof(sum)) {
    std::uint64_t line[8];
    std::memcpy(line, data + at, sizeof(line));
    for (int i = 0; i < 8; ++i) sum[i] ^= line[i];
  }
  for (const std::uint64_t s : sum) asm volatile("" : : "r"(s));  // keeps the loads
}

}  // namespace

const Probe kPlainProbe = {.read = Read, .int8 = {}, .bf16 = {}, .fp32 = {}};

}  // namespace conclave
