// Peaks of an AVX-512 machine with BF16 and VNNI.
#include <immintrin.h>

#include "bench/machine/probe.h"

namespace conclave {
namespace {

constexpr int kChains = 24;  // latency times throughput of the slowest instruction, with room

void Read(const std::byte* data, std::size_t bytes) {
  __m512i sum = _mm512_setzero_si512();
  for (std::size_t at = 0; at < bytes; at += 256) {
    const std::byte* p = data + at;
    sum = _mm512_xor_si512(
        sum,
        _mm512_xor_si512(_mm512_xor_si512(_mm512_load_si512(p), _mm512_load_si512(p + 64)),
                         _mm512_xor_si512(_mm512_load_si512(p + 128), _mm512_load_si512(p + 192))));
  }
  asm volatile("" : : "v"(sum));
}

#define CONCLAVE_PEAK(NAME, INSTRUCTION)                                       \
  void NAME(std::int64_t rounds) {                                             \
    const __m512 x = _mm512_setzero_ps();                                      \
    __m512 c[kChains];                                                         \
    _Pragma("GCC unroll 24") for (int j = 0; j < kChains; ++j) c[j] = x;       \
    for (std::int64_t i = 0; i < rounds; ++i)                                  \
      _Pragma("GCC unroll 24") for (int j = 0; j < kChains; ++j) asm volatile( \
          INSTRUCTION " %1, %1, %0" : "+v"(c[j]) : "v"(x));                    \
  }
CONCLAVE_PEAK(Int8, "vpdpbusd")
CONCLAVE_PEAK(Bf16, "vdpbf16ps")
CONCLAVE_PEAK(Fp32, "vfmadd231ps")
#undef CONCLAVE_PEAK

constexpr Probe kProbe = {.read = Read,
                          .int8 = {Int8, kChains * 64 * 2.0},
                          .bf16 = {Bf16, kChains * 32 * 2.0},
                          .fp32 = {Fp32, kChains * 16 * 2.0}};

}  // namespace

const Probe* Avx512ProbeOrNull() {
  const bool usable = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bf16") &&
                      __builtin_cpu_supports("avx512vnni");
  return usable ? &kProbe : nullptr;
}

}  // namespace conclave
