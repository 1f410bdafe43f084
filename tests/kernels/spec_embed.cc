#include <cmath>

#include "tests/kernels/specs.h"

namespace conclave::conformance {
namespace {

class EmbedCase final : public Case {
 public:
  EmbedCase(const Shape& shape, InputClass input, std::uint64_t seed) : shape_(shape) {
    Rng rng(seed);
    table_ = input == InputClass::kExact ? ExactGrid(rng, shape.n, shape.k)
                                         : GaussianGrid(rng, shape.n, shape.k, 1.0);
    if (input == InputClass::kGaussian && shape.stored == DType::kF32) {  // every bit in use
      for (float& v : table_.values) v = static_cast<float>(rng.Normal());
    }
    if (input == InputClass::kHostile) {
      const float tiny = shape.stored == DType::kF16 ? 0x1p-24f : 0x1p-133f;  // subnormal
      const float odd[] = {NAN, INFINITY, -INFINITY, -0.0f, tiny, -3 * tiny};
      for (std::size_t i = 0; i < table_.values.size(); i += 3) table_.values[i] = odd[i / 3 % 6];
    }
    for (std::int64_t r = 0; r < shape.rows; ++r) {
      ids_.push_back(static_cast<TokenId>(rng.Below(static_cast<std::uint64_t>(shape.n))));
    }
    if (shape.rows > 1) {
      ids_[0] = static_cast<TokenId>(shape.n - 1);
      ids_[1] = 0;
    }
  }

  std::int64_t rows() const override { return shape_.rows; }

  Prepared Prepare(const KernelSet& kernels, std::span<const int> rows,
                   Memory& memory) const override {
    const auto count = static_cast<std::int64_t>(rows.size());
    const auto ids = memory.Array<TokenId>("ids", Use::kIn, count);
    for (std::size_t i = 0; i < rows.size(); ++i) ids[i] = ids_[static_cast<std::size_t>(rows[i])];
    const EmbedArgs args{.ids = ids,
                         .table = Store(memory, "table", shape_.stored, table_),
                         .out = memory.Matrix<float>("out", Use::kOut, count, shape_.k)};
    return {[&kernels, args](const Lane& lane) { kernels.embed(args, lane); },
            [args] {
              return Result{{Collect("out", args.out)}, ""};
            }};
  }

  std::string Compare(const KernelSet&, const Result&, const Result& got) const override {
    for (std::int64_t r = 0; r < shape_.rows; ++r) {
      for (std::int64_t c = 0; c < shape_.k; ++c) {
        const double want = table_.at(ids_[static_cast<std::size_t>(r)], c);
        const double value = got.outputs[0].row(r)[static_cast<std::size_t>(c)];
        if (!SameBits(want, value)) return Finding("out", r, c, value, want, 0);
      }
    }
    return "";
  }

 private:
  Shape shape_;
  Grid table_;
  std::vector<TokenId> ids_;
};

std::vector<Shape> Shapes() {
  std::vector<Shape> shapes;
  for (const DType stored : {DType::kBf16, DType::kF16, DType::kF32}) {
    for (const int k : {1, 15, 16, 17, 50, 80}) {
      shapes.push_back({.rows = 5, .n = 11, .k = k, .stored = stored});
    }
  }
  shapes.push_back({.rows = 0, .n = 3, .k = 32});
  shapes.push_back({.rows = 1, .n = 1, .k = kHiddenMax});
  return shapes;
}

std::vector<Shape> BenchShapes() {
  return {{.rows = 1, .n = 4096, .k = 2048}, {.rows = 512, .n = 4096, .k = 2048}};
}

Cost CostOf(const Shape& shape, const KernelSet&) {
  return {static_cast<double>(shape.rows * shape.k) *
              (4.0 + static_cast<double>(BytesOf(shape.stored))),
          0};
}

std::unique_ptr<Case> Make(const Shape& shape, InputClass input, std::uint64_t seed) {
  return std::make_unique<EmbedCase>(shape, input, seed);
}

}  // namespace

const Spec kEmbedSpec{"embed", Shapes, BenchShapes, Make, CostOf};

}  // namespace conclave::conformance
