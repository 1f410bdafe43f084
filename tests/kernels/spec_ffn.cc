#include "tests/kernels/ffn_case.h"
#include "tests/kernels/specs.h"

namespace conclave::conformance {
namespace {

std::vector<Shape> Shapes() {
  std::vector<Shape> shapes;
  for (const int hidden : {1, 15, 16, 17, 33, 80, 192}) {
    shapes.push_back({.rows = 9, .n = 48, .k = hidden, .experts = 3});
  }
  for (const int width : {1, 15, 16, 17, 31, 32, 33, 50, 63, 64, 65, 112}) {
    shapes.push_back({.rows = 7, .n = width, .k = 80, .experts = 3});
  }
  for (const int rows : {0, 1, 2, 5, 6, 7, 13, 32, 33, 97}) {
    shapes.push_back({.rows = rows, .n = 70, .k = 64, .experts = 1});
  }
  shapes.push_back({.rows = 40, .n = 24, .k = 40, .experts = 128});
  shapes.push_back({.rows = 9, .n = 40, .k = 50, .experts = 5, .stored = DType::kF16});
  shapes.push_back({.rows = 9, .n = 40, .k = 50, .experts = 5, .stored = DType::kF32});
  shapes.push_back({.rows = 3, .n = 96, .k = 512, .experts = 2});
  return shapes;
}

std::vector<Shape> BenchShapes() {
  return {{.rows = 8, .n = 768, .k = 2048, .experts = 8},
          {.rows = 64, .n = 768, .k = 2048, .experts = 16},
          {.rows = 512, .n = 768, .k = 2048, .experts = 8}};
}

// Bytes of the experts that have slots: at most one per slot.
double WeightBytes(const Shape& shape, const KernelSet& kernels) {
  const auto used = static_cast<double>(std::min<std::int64_t>(shape.rows, shape.experts));
  return used * static_cast<double>(kernels.packed_ffn_bytes(shape.k, shape.n));
}

Cost UpCost(const Shape& shape, const KernelSet& kernels) {
  const auto rows =
      static_cast<double>(shape.rows * (ActivationRowBytes(shape.k, kernels.activation) +
                                        ActivationRowBytes(shape.n, kernels.activation)));
  return {WeightBytes(shape, kernels) * 2 / 3 + rows,
          4.0 * static_cast<double>(shape.rows * shape.n * shape.k)};
}

Cost DownCost(const Shape& shape, const KernelSet& kernels) {
  const auto rows = static_cast<double>(
      shape.rows * (4 * shape.k + ActivationRowBytes(shape.n, kernels.activation)));
  return {WeightBytes(shape, kernels) / 3 + rows,
          2.0 * static_cast<double>(shape.rows * shape.n * shape.k)};
}

}  // namespace

const Spec kFfnUpSpec{"ffn_up", Shapes, BenchShapes, MakeFfnUp, UpCost};
const Spec kFfnDownSpec{"ffn_down", Shapes, BenchShapes, MakeFfnDown, DownCost};

}  // namespace conclave::conformance
