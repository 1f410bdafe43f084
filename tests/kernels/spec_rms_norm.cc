#include <cmath>

#include "tests/kernels/specs.h"

namespace conclave::conformance {
namespace {

class RmsNormCase final : public Case {
 public:
  RmsNormCase(const Shape& shape, InputClass input, std::uint64_t seed) : shape_(shape) {
    Rng rng(seed);
    in_ = GaussianGrid(rng, shape.rows, shape.k, 3.0);
    weight_ = GaussianGrid(rng, 1, shape.k, 1.0);
    eps_ = 1e-6f;
    if (input == InputClass::kExact) MakeExact(rng);
    if (input == InputClass::kHostile) MakeHostile();
  }

  std::int64_t rows() const override { return shape_.rows; }

  Prepared Prepare(const KernelSet& kernels, std::span<const int> rows,
                   Memory& memory) const override {
    const auto count = static_cast<std::int64_t>(rows.size());
    const auto in = memory.Matrix<float>("in", Use::kIn, count, shape_.k);
    for (std::int64_t i = 0; i < count; ++i) {
      std::copy_n(in_.row(rows[static_cast<std::size_t>(i)]), shape_.k, in.row(i));
    }
    const auto weight = memory.Array<float>("weight", Use::kIn, shape_.k);
    std::copy(weight_.values.begin(), weight_.values.end(), weight.begin());
    const RmsNormArgs args{
        .in = in,
        .weight = weight,
        .eps = eps_,
        .out = memory.ActivationRows("out", Use::kOut, kernels.activation, count, shape_.k)};
    return {[&kernels, args](const Lane& lane) { kernels.rms_norm(args, lane); },
            [args] {
              return Result{{Collect("out", args.out)}, ""};
            }};
  }

  std::string Compare(const KernelSet& kernels, const Result&, const Result& got) const override {
    // The sum of squares has k rounded terms, all positive; the root halves its relative error.
    const double relative = ((static_cast<double>(shape_.k) + 3) / 2 + 5) * kUnitF32;
    for (std::int64_t r = 0; r < shape_.rows; ++r) {
      double squares = 0;
      for (std::int64_t c = 0; c < shape_.k; ++c) squares += double{in_.at(r, c)} * in_.at(r, c);
      const double root = std::sqrt(squares / static_cast<double>(shape_.k) + double{eps_});
      for (std::int64_t c = 0; c < shape_.k; ++c) {
        const double want = double{in_.at(r, c)} / root * double{weight_.at(0, c)};
        const double value = got.outputs[0].row(r)[static_cast<std::size_t>(c)];
        const double slack =
            std::abs(want) * (relative + UnitOf(kernels.activation)) * (1 + relative);
        if (!Within(want, value, slack)) return Finding("out", r, c, value, want, slack);
      }
    }
    return "";
  }

 private:
  // Every element of a row is plus or minus the same power of two: the root is that power.
  void MakeExact(Rng& rng) {
    eps_ = 0;
    for (std::int64_t r = 0; r < shape_.rows; ++r) {
      const float size = std::ldexp(1.0f, static_cast<int>(rng.Below(7)) - 3);
      for (std::int64_t c = 0; c < shape_.k; ++c) in_.at(r, c) = rng.Below(2) == 0 ? size : -size;
    }
    for (float& w : weight_.values) w = ExactValue(rng);
  }
  void MakeHostile() {
    const float odd[] = {NAN, INFINITY, 1e15f, -0.0f};
    for (std::int64_t r = 0; r < shape_.rows; ++r) {
      if (r % 3 == 1) std::fill_n(in_.row(r), shape_.k, 0.0f);  // eps alone under the root
      if (r % 3 == 2) in_.at(r, (r * 7) % shape_.k) = odd[r / 3 % 4];
    }
  }

  Shape shape_;
  Grid in_, weight_;
  float eps_ = 0;
};

std::vector<Shape> Shapes() {
  std::vector<Shape> shapes;
  for (const int k : {1, 15, 16, 17, 31, 32, 33, 50, 64, 80, 112, 192, 2048}) {
    shapes.push_back({.rows = 12, .k = k});
  }
  shapes.push_back({.rows = 0, .k = 64});
  shapes.push_back({.rows = 1, .k = kHiddenMax});
  return shapes;
}

std::vector<Shape> BenchShapes() { return {{.rows = 1, .k = 2048}, {.rows = 512, .k = 2048}}; }

Cost CostOf(const Shape& shape, const KernelSet& kernels) {
  const auto elements = static_cast<double>(shape.rows * shape.k);
  return {elements * (4.0 + static_cast<double>(BytesOf(kernels.activation))), elements * 4};
}

std::unique_ptr<Case> Make(const Shape& shape, InputClass input, std::uint64_t seed) {
  return std::make_unique<RmsNormCase>(shape, input, seed);
}

}  // namespace

const Spec kRmsNormSpec{"rms_norm", Shapes, BenchShapes, Make, CostOf};

}  // namespace conclave::conformance
