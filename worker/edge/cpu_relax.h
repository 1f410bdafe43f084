// Tells the processor that this thread spins, so that the other thread of its core may go on.
#pragma once

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace conclave {

#if defined(__x86_64__) || defined(__i386__)
inline void CpuRelax() { _mm_pause(); }
#elif defined(__aarch64__)
inline void CpuRelax() { asm volatile("yield"); }
#else
inline void CpuRelax() {}
#endif

}  // namespace conclave
