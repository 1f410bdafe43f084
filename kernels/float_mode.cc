#include <cfenv>

#include "kernels/kernel_set.h"

#if defined(__x86_64__)
#include <xmmintrin.h>

namespace conclave {

void SetComputeThreadFloatMode() {
  constexpr unsigned kFlushToZero = 0x8000;
  constexpr unsigned kDenormalsAreZero = 0x0040;
  constexpr unsigned kAllExceptionsMasked = 0x1f80;  // the rounding field is 0: to nearest
  std::fesetround(FE_TONEAREST);                     // of the x87 unit too, for long double
  _mm_setcsr(kFlushToZero | kDenormalsAreZero | kAllExceptionsMasked);
}

}  // namespace conclave
#elif defined(__aarch64__)

namespace conclave {

void SetComputeThreadFloatMode() {
  constexpr unsigned long kFlushToZero = 1ul << 24;  // inputs and outputs; rounding bits 0: nearest
  asm volatile("msr fpcr, %0" : : "r"(kFlushToZero));
}

}  // namespace conclave
#else
#error "SetComputeThreadFloatMode: say how this CPU flushes denormals to zero"
#endif
