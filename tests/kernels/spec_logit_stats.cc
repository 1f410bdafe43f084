#include <cmath>

#include "tests/kernels/specs.h"

namespace conclave::conformance {
namespace {

class LogitStatsCase final : public Case {
 public:
  LogitStatsCase(const Shape& shape, InputClass input, std::uint64_t seed)
      : shape_(shape), slices_((shape.k + kLogitSlice - 1) / kLogitSlice) {
    Rng rng(seed);
    logits_ = Grid(shape.rows, shape.k);
    for (float& v : logits_.values) v = static_cast<float>(rng.Normal() * 4);
    if (input == InputClass::kExact) {  // exp is 1 or 0 and the sum a count
      for (float& v : logits_.values) v = rng.Below(3) == 0 ? 2.5f : -INFINITY;
    }
    if (input == InputClass::kHostile) MakeHostile();
  }

  std::int64_t rows() const override { return shape_.rows; }

  Prepared Prepare(const KernelSet& kernels, std::span<const int> rows,
                   Memory& memory) const override {
    const auto count = static_cast<std::int64_t>(rows.size());
    const auto logits = memory.Matrix<float>("logits", Use::kIn, count, shape_.k);
    for (std::int64_t i = 0; i < count; ++i) {
      std::copy_n(logits_.row(rows[static_cast<std::size_t>(i)]), shape_.k, logits.row(i));
    }
    // Structs of int, float and double: on a double's boundary whatever the misalignment.
    const LogitStatsArgs args{
        .logits = logits,
        .slices = memory.Matrix<LogitSliceStats>("slices", Use::kOut, count, slices_)};
    const auto collect = [args] {
      Result result;
      Output& output = result.outputs.emplace_back();
      output = {.name = "best, max, sum", .cols = args.slices.cols * 3, .values = {}};
      for (std::int64_t r = 0; r < args.slices.rows; ++r) {
        for (const LogitSliceStats& slice : args.slices.row_span(r)) {
          // Without a number there is no maximum either.
          const double max = slice.best < 0 ? 0.0 : double{slice.max};
          output.values.insert(output.values.end(), {double(slice.best), max, slice.sum});
        }
      }
      return result;
    };
    return {[&kernels, args](const Lane& lane) { kernels.logit_stats(args, lane); }, collect};
  }

  std::string Compare(const KernelSet&, const Result&, const Result& got) const override {
    for (std::int64_t r = 0; r < shape_.rows; ++r) {
      for (std::int64_t s = 0; s < slices_; ++s) {
        std::string wrong =
            CompareSlice(r, s, got.outputs[0].row(r).subspan(static_cast<std::size_t>(3 * s), 3));
        if (!wrong.empty()) return wrong;
      }
    }
    return "";
  }

 private:
  std::string CompareSlice(std::int64_t r, std::int64_t s, std::span<const double> got) const {
    const std::int64_t begin = s * kLogitSlice;
    const std::int64_t end = std::min(shape_.k, begin + kLogitSlice);
    std::int64_t best = -1;
    for (std::int64_t v = begin; v < end; ++v) {
      if (std::isnan(logits_.at(r, v))) continue;
      if (best < 0 || logits_.at(r, v) > logits_.at(r, best)) best = v;
    }
    if (got[0] != static_cast<double>(best)) {
      return Finding("best", r, s, got[0], static_cast<double>(best), 0);
    }
    if (best < 0) return got[2] == 0 ? "" : Finding("sum", r, s, got[2], 0, 0);
    const double max = logits_.at(r, best);
    if (got[1] != max) return Finding("max", r, s, got[1], max, 0);
    double sum = 0;
    double slack = 0;
    for (std::int64_t v = begin; v < end; ++v) {
      const double logit = logits_.at(r, v);
      if (std::isnan(logit)) continue;
      if (logit == max) {
        sum += 1;
      } else {
        const double term = std::exp(logit - max);
        sum += term;
        slack += 0x1p-100;
        if (term > 0) slack += term * (kLogitExpUlpMax * 0x1p-23 + (max - logit) * kUnitF32);
      }
    }
    slack += sum * static_cast<double>(end - begin) * 0x1p-53 + 0x1p-52 * sum;
    return Within(sum, got[2], slack * 1.001) ? "" : Finding("sum", r, s, got[2], sum, slack);
  }
  void MakeHostile() {
    for (std::int64_t r = 0; r < shape_.rows; ++r) {
      float* row = logits_.row(r);
      const std::int64_t last = shape_.k - 1;
      switch (r % 6) {
        case 0:  // no number at all
          std::fill_n(row, shape_.k, NAN);
          break;
        case 1:  // a tie at both ends
          row[0] = row[last] = 50;
          break;
        case 2:
          std::fill_n(row, shape_.k, -INFINITY);
          break;
        case 3:
          row[last / 2] = INFINITY;
          row[last] = NAN;
          break;
        case 4:  // a number only at the end of the last slice
          std::fill_n(row, shape_.k, NAN);
          row[last] = -1e30f;
          break;
        default:
          row[last / 3] = 1e30f;
          row[0] = NAN;
          break;
      }
    }
  }

  Shape shape_;
  std::int64_t slices_;
  Grid logits_;
};

std::vector<Shape> Shapes() {
  std::vector<Shape> shapes;
  for (const int vocab : {1, 7, 8, 15, 16, 17, 50, 1000, kLogitSlice - 1, kLogitSlice,
                          kLogitSlice + 1, 3 * kLogitSlice + 2}) {
    shapes.push_back({.rows = 6, .k = vocab});
  }
  shapes.push_back({.rows = 0, .k = 64});
  return shapes;
}

std::vector<Shape> BenchShapes() { return {{.rows = 1, .k = 151936}, {.rows = 32, .k = 151936}}; }

Cost CostOf(const Shape& shape, const KernelSet&) {
  return {static_cast<double>(shape.rows * shape.k) * 4, 0};
}

std::unique_ptr<Case> Make(const Shape& shape, InputClass input, std::uint64_t seed) {
  return std::make_unique<LogitStatsCase>(shape, input, seed);
}

}  // namespace

const Spec kLogitStatsSpec{"logit_stats", Shapes, BenchShapes, Make, CostOf};

}  // namespace conclave::conformance
