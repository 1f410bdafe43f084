// Peaks of an AVX2 machine.
#include <immintrin.h>

#include "bench/machine/probe.h"

namespace conclave {
namespace {

constexpr int kChains = 12;  // latency times throughput of a fused multiply-add, with room

void Read(const std::byte* data, std::size_t bytes) {
  __m256i sum = _mm256_setzero_si256();
  for (std::size_t at = 0; at < bytes; at += 128) {
    const auto* p = reinterpret_cast<const __m256i*>(data + at);
    sum = _mm256_xor_si256(
        sum,
        _mm256_xor_si256(_mm256_xor_si256(_mm256_load_si256(p), _mm256_load_si256(p + 1)),
                         _mm256_xor_si256(_mm256_load_si256(p + 2), _mm256_load_si256(p + 3))));
  }
  asm volatile("" : : "x"(sum));
}

void Fp32(std::int64_t rounds) {
  const __m256 x = _mm256_setzero_ps();
  __m256 c[kChains];
#pragma GCC unroll 12
  for (int j = 0; j < kChains; ++j) c[j] = x;
  for (std::int64_t i = 0; i < rounds; ++i)
#pragma GCC unroll 12
    for (int j = 0; j < kChains; ++j) asm volatile("vfmadd231ps %1, %1, %0" : "+x"(c[j]) : "x"(x));
}

constexpr Probe kProbe = {.read = Read, .int8 = {}, .bf16 = {}, .fp32 = {Fp32, kChains * 8 * 2.0}};

}  // namespace

const Probe* Avx2ProbeOrNull() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &kProbe : nullptr;
}

}  // namespace conclave
