// Built instead of the AVX2 probe where the compiler cannot make its instructions.
#include "bench/machine/probe.h"

namespace conclave {

const Probe* Avx2ProbeOrNull() { return nullptr; }

}  // namespace conclave
