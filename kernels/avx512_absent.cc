// Built instead of the AVX-512 set where the compiler cannot make its instructions.
#include "kernels/kernel_set.h"

namespace conclave {

const KernelSet* Avx512KernelsOrNull() { return nullptr; }

}  // namespace conclave
