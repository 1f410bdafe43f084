// Every rounding is stated, so all classes are judged bit for bit.
#include <cmath>

#include "tests/kernels/specs.h"

namespace conclave::conformance {
namespace {

class CombineCase final : public Case {
 public:
  CombineCase(const Shape& shape, InputClass input, std::uint64_t seed) : shape_(shape) {
    Rng rng(seed);
    const bool exact = input == InputClass::kExact;
    const auto grid = [&](std::int64_t rows, std::int64_t cols) {
      if (exact) return ExactGrid(rng, rows, cols);
      Grid full(rows, cols);  // all bits of float in use
      for (float& v : full.values) v = static_cast<float>(rng.Normal());
      return full;
    };
    answers_ = grid(shape.rows * shape.topk, shape.k);
    weights_ = grid(shape.rows, shape.topk);
    hidden_ = grid(shape.rows, shape.k);
    if (input != InputClass::kHostile) return;
    const float odd[] = {NAN, INFINITY, -INFINITY, 1e30f, -0.0f};
    for (std::size_t i = 0; i < answers_.values.size(); i += 13) {
      answers_.values[i] = odd[i / 13 % 5];
    }
    for (std::size_t i = 0; i < weights_.values.size(); i += 5) weights_.values[i] = 0;
  }

  std::int64_t rows() const override { return shape_.rows; }

  Prepared Prepare(const KernelSet& kernels, std::span<const int> rows,
                   Memory& memory) const override {
    const auto count = static_cast<std::int64_t>(rows.size());
    const auto hidden = memory.Matrix<float>("hidden", Use::kInOut, count, shape_.k);
    const auto weights = memory.Matrix<float>("weights", Use::kIn, count, shape_.topk);
    const auto answers = memory.Matrix<float>("answers", Use::kIn, count * shape_.topk, shape_.k);
    const auto pointers =
        std::make_shared<std::vector<const float*>>(static_cast<std::size_t>(answers.rows));
    for (std::int64_t i = 0; i < count; ++i) {
      const int r = rows[static_cast<std::size_t>(i)];
      std::copy_n(hidden_.row(r), shape_.k, hidden.row(i));
      std::copy_n(weights_.row(r), shape_.topk, weights.row(i));
      for (std::int64_t j = 0; j < shape_.topk; ++j) {
        // Answers lie in another order than they are added in.
        const std::int64_t place = answers.rows - 1 - (i * shape_.topk + j);
        std::copy_n(answers_.row(r * shape_.topk + j), shape_.k, answers.row(place));
        (*pointers)[static_cast<std::size_t>(i * shape_.topk + j)] = answers.row(place);
      }
    }
    const CombineArgs args{.answers = *pointers, .weights = weights, .hidden = hidden};
    return {[&kernels, args, pointers](const Lane& lane) { kernels.combine(args, lane); },
            [args] {
              return Result{{Collect("hidden", args.hidden)}, ""};
            }};
  }

  std::string Compare(const KernelSet&, const Result&, const Result& got) const override {
    for (std::int64_t r = 0; r < shape_.rows; ++r) {
      for (std::int64_t c = 0; c < shape_.k; ++c) {
        float sum = weights_.at(r, 0) * answers_.at(r * shape_.topk, c);
        for (std::int64_t j = 1; j < shape_.topk; ++j) {
          const float product = weights_.at(r, j) * answers_.at(r * shape_.topk + j, c);
          sum = sum + product;
        }
        const double want = hidden_.at(r, c) + sum;
        const double value = got.outputs[0].row(r)[static_cast<std::size_t>(c)];
        if (!SameBits(want, value)) return Finding("hidden", r, c, value, want, 0);
      }
    }
    return "";
  }

 private:
  Shape shape_;
  Grid answers_, weights_, hidden_;
};

std::vector<Shape> Shapes() {
  std::vector<Shape> shapes;
  for (const int k : {1, 15, 16, 17, 50, 80, 112, 192, 2048}) {
    shapes.push_back({.rows = 5, .k = k, .topk = 8});
  }
  for (const int topk : {1, 2, 3, kTopkMax}) {
    shapes.push_back({.rows = 7, .k = 33, .topk = topk});
  }
  shapes.push_back({.rows = 0, .k = 64, .topk = 8});
  return shapes;
}

std::vector<Shape> BenchShapes() {
  return {{.rows = 1, .k = 2048, .topk = 8}, {.rows = 512, .k = 2048, .topk = 8}};
}

Cost CostOf(const Shape& shape, const KernelSet&) {
  const auto elements = static_cast<double>(shape.rows * shape.k);
  return {elements * 4 * (shape.topk + 2), elements * 2 * shape.topk};
}

std::unique_ptr<Case> Make(const Shape& shape, InputClass input, std::uint64_t seed) {
  return std::make_unique<CombineCase>(shape, input, seed);
}

}  // namespace

const Spec kCombineSpec{"combine", Shapes, BenchShapes, Make, CostOf};

}  // namespace conclave::conformance
