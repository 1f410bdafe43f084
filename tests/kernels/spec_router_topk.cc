// exp is the same function in every set and the order of every sum is stated, so all classes are
// judged bit for bit, against this file's own selection and weights.
#include <algorithm>
#include <cmath>

#include "base/numeric.h"
#include "tests/kernels/specs.h"

namespace conclave::conformance {
namespace {

class RouterTopkCase final : public Case {
 public:
  RouterTopkCase(const Shape& shape, InputClass input, std::uint64_t seed) : shape_(shape) {
    Rng rng(seed);
    logits_ = input == InputClass::kExact ? ExactGrid(rng, shape.rows, shape.experts)
                                          : GaussianGrid(rng, shape.rows, shape.experts, 2.0);
    if (input == InputClass::kHostile) MakeHostile();
  }

  std::int64_t rows() const override { return shape_.rows; }

  Prepared Prepare(const KernelSet& kernels, std::span<const int> rows,
                   Memory& memory) const override {
    const auto count = static_cast<std::int64_t>(rows.size());
    const auto logits = memory.Matrix<float>("logits", Use::kIn, count, shape_.experts);
    std::uint32_t bad_rows = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      const int r = rows[static_cast<std::size_t>(i)];
      std::copy_n(logits_.row(r), shape_.experts, logits.row(i));
      if (Ranked(r).size() < static_cast<std::size_t>(shape_.topk)) ++bad_rows;
    }
    const auto bad = std::make_shared<std::atomic<std::uint32_t>>(0);
    const RouterTopkArgs args{
        .logits = logits,
        .k = shape_.topk,
        .normalise = shape_.flag,
        .ids = memory.Matrix<std::uint16_t>("ids", Use::kOut, count, shape_.topk),
        .weights = memory.Matrix<float>("weights", Use::kOut, count, shape_.topk),
        .bad_rows = bad.get()};
    const auto collect = [args, bad, bad_rows] {
      Result result;
      Output& ids = result.outputs.emplace_back();
      ids = {.name = "ids", .cols = args.k, .values = {}};
      for (std::int64_t r = 0; r < args.ids.rows; ++r) {
        for (const std::uint16_t id : args.ids.row_span(r)) ids.values.push_back(id);
      }
      result.outputs.push_back(Collect("weights", args.weights));
      if (*bad != bad_rows) result.complaint = "bad_rows: wrong count";
      return result;
    };
    return {[&kernels, args](const Lane& lane) { kernels.router_topk(args, lane); }, collect};
  }

  std::string Compare(const KernelSet&, const Result&, const Result& got) const override {
    for (std::int64_t r = 0; r < shape_.rows; ++r) {
      const std::vector<int> ranked = Ranked(r);
      const bool bad = ranked.size() < static_cast<std::size_t>(shape_.topk);
      const float sum = bad ? 0 : Total(r, ranked);
      for (int j = 0; j < shape_.topk; ++j) {
        const auto at = static_cast<std::size_t>(j);
        const double id = bad ? j : ranked[at];
        const double weight = bad ? 0 : double{Part(r, ranked[at], ranked[0]) / sum};
        const double got_id = got.outputs[0].row(r)[at];
        const double got_weight = got.outputs[1].row(r)[at];
        if (id != got_id) return Finding("ids", r, j, got_id, id, 0);
        if (!SameBits(weight, got_weight)) return Finding("weights", r, j, got_weight, weight, 0);
      }
    }
    return "";
  }

 private:
  // All numbers of the row, best first, the lower id first among equals.
  std::vector<int> Ranked(std::int64_t r) const {
    std::vector<int> ids;
    for (int e = 0; e < shape_.experts; ++e) {
      if (!std::isnan(logits_.at(r, e))) ids.push_back(e);
    }
    std::stable_sort(ids.begin(), ids.end(),
                     [&](int a, int b) { return logits_.at(r, a) > logits_.at(r, b); });
    return ids;
  }
  float Part(std::int64_t r, int e, int best) const {
    const float logit = logits_.at(r, e);
    const float max = logits_.at(r, best);
    return logit == max ? 1.0f : Exp(logit - max);
  }
  float Total(std::int64_t r, const std::vector<int>& ranked) const {
    float sum = 0;
    if (shape_.flag) {
      for (int j = 0; j < shape_.topk; ++j) {
        sum += Part(r, ranked[static_cast<std::size_t>(j)], ranked[0]);
      }
      return sum;
    }
    for (int e = 0; e < shape_.experts; ++e) {
      if (!std::isnan(logits_.at(r, e))) sum += Part(r, e, ranked[0]);
    }
    return sum;
  }
  void MakeHostile() {
    const int edges[] = {0, 31, 32, 63, 64, 127};
    for (std::int64_t r = 0; r < shape_.rows; ++r) {
      float* row = logits_.row(r);
      switch (r % 7) {
        case 0:  // all equal
          std::fill_n(row, shape_.experts, 0.5f);
          break;
        case 1:  // winners at the edges of words and vectors
          for (const int e : edges) row[e % shape_.experts] = 20.0f + static_cast<float>(e % 2);
          break;
        case 2:
          for (int e = 0; e < shape_.experts; e += 2) row[e] = NAN;
          break;
        case 3:
          std::fill_n(row, shape_.experts, -INFINITY);
          row[shape_.experts - 1] = 1;
          break;
        case 4:
          row[shape_.experts / 2] = INFINITY;
          row[0] = -INFINITY;
          break;
        case 5:  // no number but one
          std::fill_n(row, shape_.experts, NAN);
          row[shape_.experts / 3] = 3;
          break;
        default:
          row[shape_.experts - 1] = 1e30f;
          break;
      }
    }
  }

  Shape shape_;
  Grid logits_;
};

std::vector<Shape> Shapes() {
  std::vector<Shape> shapes;
  for (const int experts : {1, 2, 8, 15, 16, 17, 50, 64, 65, 128, 512}) {
    for (const bool normalise : {true, false}) {
      const int k = std::min(experts, experts == 512 ? kTopkMax : 8);
      shapes.push_back({.rows = 14, .experts = experts, .topk = k, .flag = normalise});
    }
  }
  shapes.push_back({.rows = 9, .experts = 128, .topk = 1, .flag = true});
  shapes.push_back({.rows = 0, .experts = 128, .topk = 8, .flag = true});
  return shapes;
}

std::vector<Shape> BenchShapes() {
  return {{.rows = 1, .experts = 128, .topk = 8, .flag = true},
          {.rows = 512, .experts = 128, .topk = 8, .flag = true}};
}

Cost CostOf(const Shape& shape, const KernelSet&) {
  return {static_cast<double>(shape.rows * (4 * shape.experts + 6 * shape.topk)), 0};
}

std::unique_ptr<Case> Make(const Shape& shape, InputClass input, std::uint64_t seed) {
  return std::make_unique<RouterTopkCase>(shape, input, seed);
}

}  // namespace

const Spec kRouterTopkSpec{"router_topk", Shapes, BenchShapes, Make, CostOf};

}  // namespace conclave::conformance
