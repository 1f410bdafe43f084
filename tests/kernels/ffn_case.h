// Cases of the two passes of the feed-forward network; a row of the case is a slot.
#pragma once

#include "tests/kernels/conformance.h"

namespace conclave::conformance {

std::unique_ptr<Case> MakeFfnUp(const Shape& shape, InputClass input, std::uint64_t seed);
std::unique_ptr<Case> MakeFfnDown(const Shape& shape, InputClass input, std::uint64_t seed);

}  // namespace conclave::conformance
