#include <cmath>

#include "tests/kernels/specs.h"

namespace conclave::conformance {
namespace {

class LinearCase final : public Case {
 public:
  LinearCase(const Shape& shape, InputClass input, std::uint64_t seed, bool add)
      : shape_(shape), add_(add) {
    Rng rng(seed);
    const bool exact = input == InputClass::kExact;
    in_ = exact ? ExactGrid(rng, shape.rows, shape.k) : GaussianGrid(rng, shape.rows, shape.k, 1);
    w_ = exact ? ExactGrid(rng, shape.n, shape.k)
               : GaussianGrid(rng, shape.n, shape.k, 1 / std::sqrt(static_cast<double>(shape.k)));
    before_ =
        exact ? ExactGrid(rng, shape.rows, shape.n) : GaussianGrid(rng, shape.rows, shape.n, 1);
    if (shape.flag) bias_ = exact ? ExactGrid(rng, 1, shape.n) : GaussianGrid(rng, 1, shape.n, 1);
    if (input == InputClass::kHostile) MakeHostile();
  }

  std::int64_t rows() const override { return shape_.rows; }

  Prepared Prepare(const KernelSet& kernels, std::span<const int> rows,
                   Memory& memory) const override {
    const auto count = static_cast<std::int64_t>(rows.size());
    const auto in = memory.ActivationRows("in", Use::kIn, kernels.activation, count, shape_.k);
    const auto out = memory.Matrix<float>("out", add_ ? Use::kInOut : Use::kOut, count, shape_.n);
    for (std::int64_t i = 0; i < count; ++i) {
      const int r = rows[static_cast<std::size_t>(i)];
      FillActivationRow(in, i, in_.row(r));
      if (add_) std::copy_n(before_.row(r), shape_.n, out.row(i));
    }
    const auto bias = memory.Array<float>("bias", Use::kIn, shape_.flag ? shape_.n : 0);
    std::copy(bias_.values.begin(), bias_.values.end(), bias.begin());
    const LinearArgs args{
        .in = in, .w = Packed(kernels, rows.size(), memory), .bias = bias, .out = out};
    const LinearFn linear = add_ ? kernels.linear_add : kernels.linear;
    return {[linear, args](const Lane& lane) { linear(args, lane); },
            [args] {
              return Result{{Collect("out", args.out)}, ""};
            }};
  }

  std::string Compare(const KernelSet&, const Result&, const Result& got) const override {
    for (std::int64_t r = 0; r < shape_.rows; ++r) {
      for (std::int64_t n = 0; n < shape_.n; ++n) {
        Sum sum;
        for (std::int64_t k = 0; k < shape_.k; ++k) sum.Add(in_.at(r, k), w_.at(n, k));
        if (shape_.flag) sum.Add(bias_.at(0, n), 1);
        if (add_) sum.Add(before_.at(r, n), 1);
        const double value = got.outputs[0].row(r)[static_cast<std::size_t>(n)];
        const bool good =
            std::isfinite(sum.value)
                ? WithinRounding(sum.value, value, sum.magnitude,
                                 static_cast<double>(PaddedCols(shape_.k)) + 2, kUnitF32)
                : Within(sum.value, value, 0);
        if (!good) return Finding("out", r, n, value, sum.value, sum.magnitude * kUnitF32);
      }
    }
    return "";
  }

 private:
  // Up to three sources stacked along n, as q, k and v are.
  PackedMatrix Packed(const KernelSet& kernels, std::size_t rows, Memory& memory) const {
    std::vector<TensorView> sources;
    const std::int64_t parts = std::min<std::int64_t>(shape_.n, 3);
    for (std::int64_t p = 0; p < parts; ++p) {
      const std::int64_t begin = shape_.n * p / parts;
      const std::int64_t end = shape_.n * (p + 1) / parts;
      Grid part(end - begin, shape_.k);
      std::copy(w_.row(begin), w_.row(end), part.values.begin());
      sources.push_back(Store(memory, "w", shape_.stored, part));
    }
    return PackFor(kernels, sources, 1 + static_cast<int>(rows % 3), memory);
  }
  void MakeHostile() {
    const float odd[] = {NAN, INFINITY, -INFINITY, 0x1p60f, -0.0f};
    for (std::int64_t r = 0; r < shape_.rows; ++r) {
      if (r % 3 == 1) in_.at(r, shape_.k - 1) = odd[r / 3 % 5];
      if (r % 3 == 2) std::fill_n(in_.row(r), shape_.k, 0.0f);
    }
  }

  Shape shape_;
  bool add_;
  Grid in_, w_, bias_, before_;
};

std::vector<Shape> Shapes() {
  std::vector<Shape> shapes;
  for (const int k : {1, 15, 16, 17, 33, 50, 80, 112, 192}) {
    shapes.push_back({.rows = 5, .n = 35, .k = k, .flag = k % 2 == 0});
  }
  for (const int n : {1, 15, 16, 17, 31, 32, 50, 63, 64, 65, 130}) {
    shapes.push_back({.rows = 3, .n = n, .k = 80, .flag = n % 2 == 0});
  }
  for (const int rows : {0, 1, 2, 4, 6, 7, 8, 12, 13, 14, 20, 33, 96, 97, 131}) {
    shapes.push_back({.rows = rows, .n = 67, .k = 64});
  }
  shapes.push_back({.rows = 4, .n = 40, .k = 96, .stored = DType::kF16});
  shapes.push_back({.rows = 4, .n = 40, .k = 96, .flag = true, .stored = DType::kF32});
  shapes.push_back({.rows = 7, .n = 70, .k = 2048});
  shapes.push_back({.rows = 1, .n = 3, .k = kHiddenMax});
  return shapes;
}

std::vector<Shape> BenchShapes() {
  return {{.rows = 1, .n = 5120, .k = 2048},
          {.rows = 8, .n = 5120, .k = 2048},
          {.rows = 32, .n = 5120, .k = 2048},
          {.rows = 512, .n = 5120, .k = 2048},
          {.rows = 1, .n = 2048, .k = 4096},
          {.rows = 1, .n = 9496, .k = 2048}};  // a sixteenth of the head
}

Cost CostOf(const Shape& shape, const KernelSet& kernels) {
  const double in =
      static_cast<double>(shape.rows * ActivationRowBytes(shape.k, kernels.activation));
  const double out = static_cast<double>(shape.rows * shape.n) * 4;
  return {static_cast<double>(kernels.packed_bytes(shape.n, shape.k)) + in + out,
          2.0 * static_cast<double>(shape.rows * shape.n * shape.k)};
}

std::unique_ptr<Case> Make(const Shape& shape, InputClass input, std::uint64_t seed) {
  return std::make_unique<LinearCase>(shape, input, seed, false);
}
std::unique_ptr<Case> MakeAdd(const Shape& shape, InputClass input, std::uint64_t seed) {
  return std::make_unique<LinearCase>(shape, input, seed, true);
}

}  // namespace

const Spec kLinearSpec{"linear", Shapes, BenchShapes, Make, CostOf};
const Spec kLinearAddSpec{"linear_add", Shapes, BenchShapes, MakeAdd, CostOf};

}  // namespace conclave::conformance
