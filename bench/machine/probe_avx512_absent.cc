// Built instead of the AVX-512 probe where the compiler cannot make its instructions.
#include "bench/machine/probe.h"

namespace conclave {

const Probe* Avx512ProbeOrNull() { return nullptr; }

}  // namespace conclave
