// Built instead of the AVX2 set where the compiler cannot make its instructions.
#include "kernels/kernel_set.h"

namespace conclave {

const KernelSet* Avx2KernelsOrNull() { return nullptr; }

}  // namespace conclave
