// Exact widening of stored elements, whatever their type and alignment.
#pragma once

#include <cstdint>

#include "base/tensor_view.h"

namespace conclave::ref {

// out[0..tensor.cols) = row `row` of the tensor, as float.
void WidenRow(const TensorView& tensor, std::int64_t row, float* out);

}  // namespace conclave::ref
