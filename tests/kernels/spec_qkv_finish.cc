// Every row's place is in a block of its own. What was written is read back in three ways: the
// block's bytes (against the set's own runs), and attention with two probes as queries: a zero
// query gives v / (offset + 1), because the other positions hold zeros; a second one weighs k.
#include <cmath>

#include "tests/kernels/kv_cache.h"
#include "tests/kernels/specs.h"

namespace conclave::conformance {
namespace {

class QkvFinishCase final : public Case {
 public:
  QkvFinishCase(const Shape& shape, InputClass input, std::uint64_t seed)
      : shape_(shape),
        exact_(input == InputClass::kExact),
        kv_{shape.kv_heads, shape.head_dim, shape.stored},
        q_width_(std::int64_t{shape.heads} * shape.head_dim),
        kv_width_(std::int64_t{shape.kv_heads} * shape.head_dim) {
    Rng rng(seed);
    qkv_ = Grid(shape.rows, q_width_ + 2 * kv_width_);
    for (float& v : qkv_.values) v = static_cast<float>(rng.Normal());
    cos_ = Grid(shape.rows, shape.head_dim / 2);
    sin_ = Grid(shape.rows, shape.head_dim / 2);
    for (std::size_t i = 0; i < cos_.values.size(); ++i) {
      const double angle = 0.1 * static_cast<double>(i);
      cos_.values[i] = static_cast<float>(std::cos(angle));
      sin_.values[i] = static_cast<float>(std::sin(angle));
    }
    norms_ = GaussianGrid(rng, 2, shape.head_dim, 1);
    probe_ = GaussianGrid(rng, shape.rows, q_width_, 0.7);
    if (exact_) MakeExact(rng);
    if (input == InputClass::kHostile) MakeHostile();
  }

  std::int64_t rows() const override { return shape_.rows; }

  Prepared Prepare(const KernelSet& kernels, std::span<const int> rows,
                   Memory& memory) const override {
    const auto count = static_cast<std::int64_t>(rows.size());
    const auto qkv = memory.Matrix<float>("qkv", Use::kIn, count, qkv_.cols);
    const auto cos = memory.Matrix<float>("cos", Use::kIn, count, cos_.cols);
    const auto sin = memory.Matrix<float>("sin", Use::kIn, count, sin_.cols);
    const auto places = memory.Array<KvPlace>("places", Use::kIn, count);
    for (std::int64_t i = 0; i < count; ++i) {
      const int r = rows[static_cast<std::size_t>(i)];
      std::copy_n(qkv_.row(r), qkv_.cols, qkv.row(i));
      std::copy_n(cos_.row(r), cos_.cols, cos.row(i));
      std::copy_n(sin_.row(r), sin_.cols, sin.row(i));
      places[static_cast<std::size_t>(i)] = {{static_cast<int>(count - 1 - i)}, OffsetOf(r)};
    }
    const auto q_norm = memory.Array<float>("q_norm", Use::kIn, shape_.flag ? kv_.head_dim : 0);
    const auto k_norm = memory.Array<float>("k_norm", Use::kIn, shape_.flag ? kv_.head_dim : 0);
    if (shape_.flag) {
      std::copy_n(norms_.row(0), kv_.head_dim, q_norm.begin());
      std::copy_n(norms_.row(1), kv_.head_dim, k_norm.begin());
    }
    const std::size_t block_bytes = kernels.kv_block_bytes(kv_);
    std::byte* layer =
        memory.Bytes("cache", Use::kInOut, block_bytes * static_cast<std::size_t>(count));
    ZeroBefore(kernels, layer, places);
    const QkvFinishArgs args{
        .qkv = qkv,
        .q_norm = q_norm,
        .k_norm = k_norm,
        .eps = shape_.flag && exact_ ? 0.0f : 1e-6f,
        .cos = cos,
        .sin = sin,
        .heads = shape_.heads,
        .kv = kv_,
        .kv_layer = layer,
        .places = places,
        .q = memory.ActivationRows("q", Use::kOut, kernels.activation, count, q_width_)};
    const std::vector<int> batch(rows.begin(), rows.end());
    return {[&kernels, args](const Lane& lane) { kernels.qkv_finish(args, lane); },
            [this, &kernels, args, batch] { return CollectAll(kernels, args, batch); }};
  }

  std::string Compare(const KernelSet& kernels, const Result&, const Result& got) const override {
    for (std::int64_t r = 0; r < shape_.rows; ++r) {
      for (int h = 0; h < shape_.heads; ++h) {
        const std::size_t first =
            static_cast<std::size_t>(h) * static_cast<std::size_t>(kv_.head_dim);
        for (int i = 0; i < kv_.head_dim; ++i) {
          const Turned want = Turn(r, h * kv_.head_dim, shape_.flag ? norms_.row(0) : nullptr, i);
          const double value = got.outputs[0].row(r)[first + static_cast<std::size_t>(i)];
          const double slack =
              want.slack + UnitOf(kernels.activation) * (std::abs(want.value) + want.slack);
          if (!Within(want.value, value, slack)) {
            return Finding("q", r, h * kv_.head_dim + i, value, want.value, slack);
          }
        }
        std::string wrong = CompareProbes(kernels, r, h, got);
        if (!wrong.empty()) return wrong;
      }
    }
    return "";
  }

 private:
  static constexpr int kOffsets[] = {0, 1, 3, 7, 15, 31};  // one less than a power of two
  static int OffsetOf(std::int64_t row) { return kOffsets[row % 6]; }

  // An element after norm and rotation, and how far off it may be before it is rounded for storage.
  struct Turned {
    double value;
    double slack;
  };
  Turned Turn(std::int64_t r, std::int64_t first, const float* norm, int i) const {
    const int half = kv_.head_dim / 2;
    const float* x = qkv_.row(r) + first;
    double root = 1;
    if (norm != nullptr) {
      double squares = 0;
      for (int j = 0; j < kv_.head_dim; ++j) squares += double{x[j]} * double{x[j]};
      root = std::sqrt(squares / kv_.head_dim + 1e-6f);
    }
    const auto normed = [&](int j) {
      return norm == nullptr ? double{x[j]} : double{x[j]} / root * double{norm[j]};
    };
    const int j = i % half;
    const double c = cos_.at(r, j);
    const double s = sin_.at(r, j);
    Sum sum;
    if (i < half) {
      sum.Add(normed(j), c);
      sum.Add(-normed(j + half), s);
    } else {
      sum.Add(normed(j + half), c);
      sum.Add(normed(j), s);
    }
    const double roundings = (norm == nullptr ? 0 : (kv_.head_dim + 3) / 2.0 + 5) + 3;
    return {sum.value, sum.magnitude * roundings * kUnitF32 * 1.01};
  }

  std::string CompareProbes(const KernelSet& kernels, std::int64_t r, int h,
                            const Result& got) const {
    const int dim = kv_.head_dim;
    const int kv_head = h / (shape_.heads / kv_.kv_heads);
    const std::int64_t k_first = q_width_ + std::int64_t{kv_head} * dim;
    const double stored = UnitOf(kv_.dtype);
    const double scale = 1 / std::sqrt(static_cast<double>(dim));
    double score = 0, score_error = 0;
    for (int i = 0; i < dim; ++i) {
      const Turned k = Turn(r, k_first, shape_.flag ? norms_.row(1) : nullptr, i);
      const double q = double{probe_.at(r, std::int64_t{h} * dim + i)} * scale;
      score += q * k.value;
      score_error += std::abs(q) * (k.slack + stored * 1.01 * (std::abs(k.value) + k.slack) +
                                    (dim + 6) * kUnitF32 * std::abs(k.value));
    }
    const double others = OffsetOf(r);
    const double weights[] = {1 / (1 + others), 1 / (1 + others * std::exp(-score))};
    // Both weights' own rounding (bf16 caches) and the float operations on the way.
    const double rounding = 2.1 * (kv_.dtype == DType::kBf16 ? kUnitBf16 : 0) +
                            (2 * kAttentionExpUlpMax + 80) * kUnitF32;
    for (int probe = 0; probe < 2; ++probe) {
      const double relative =
          rounding +
          (probe == 0 ? 0 : std::expm1(2 * score_error + 4 * std::abs(score) * kUnitF32));
      for (int i = 0; i < dim; ++i) {
        const double v = qkv_.at(r, k_first + kv_width_ + i);
        const double want = v * weights[probe];
        const double slack =
            std::abs(want) * (relative + stored + UnitOf(kernels.activation)) * 1.02 + 0x1p-100;
        const std::size_t at = static_cast<std::size_t>(h) * static_cast<std::size_t>(dim) +
                               static_cast<std::size_t>(i);
        const double value = got.outputs[static_cast<std::size_t>(2 + probe)].row(r)[at];
        if (!Within(want, value, slack)) {
          return Finding(probe == 0 ? "v" : "k and v", r, static_cast<int>(at), value, want, slack);
        }
      }
    }
    return "";
  }

  // Zeros as k and v of the positions before each row's own.
  void ZeroBefore(const KernelSet& kernels, std::byte* layer,
                  std::span<const KvPlace> places) const {
    std::vector<KvPlace> before;
    for (const KvPlace& place : places) {
      for (int t = 0; t < place.offset; ++t) before.push_back({place.block, t});
    }
    const Grid zeros(static_cast<std::int64_t>(before.size()), kv_width_);
    FillCache(kernels, {kv_, layer, before, zeros, zeros});
  }

  Result CollectAll(const KernelSet& kernels, const QkvFinishArgs& args,
                    std::span<const int> batch) const {
    Result result;
    result.outputs.push_back(Collect("q", args.q));
    const std::size_t block_bytes = kernels.kv_block_bytes(kv_);
    Output& blocks = result.outputs.emplace_back();
    blocks = {.name = "block",
              .cols = static_cast<std::int64_t>(block_bytes),
              .values = {},
              .opaque = true};
    for (const KvPlace& place : args.places) {
      const std::byte* block =
          args.kv_layer + static_cast<std::size_t>(place.block.value) * block_bytes;
      for (std::size_t i = 0; i < block_bytes; ++i) {
        blocks.values.push_back(std::to_integer<int>(block[i]));
      }
    }
    const Grid zeros(shape_.rows, q_width_);
    result.outputs.push_back(Probe(kernels, args, batch, zeros));
    result.outputs.push_back(Probe(kernels, args, batch, probe_));
    return result;
  }

  Output Probe(const KernelSet& kernels, const QkvFinishArgs& args, std::span<const int> batch,
               const Grid& queries) const {
    const auto count = static_cast<std::int64_t>(batch.size());
    Memory memory(0);
    const auto q = memory.ActivationRows("probe", Use::kIn, kernels.activation, count, q_width_);
    const auto out = memory.ActivationRows("seen", Use::kOut, kernels.activation, count, q_width_);
    std::vector<BlockId> blocks;
    for (const KvPlace& place : args.places) blocks.push_back(place.block);
    std::vector<AttentionSpan> spans;
    for (std::int64_t i = 0; i < count; ++i) {
      const auto at = static_cast<std::size_t>(i);
      FillActivationRow(q, i, queries.row(batch[at]));
      spans.push_back({i, 1, args.places[at].offset, std::span(blocks).subspan(at, 1)});
    }
    RunLanes(1, [&](const Lane& lane) {
      kernels.attention({.q = q,
                         .spans = spans,
                         .heads = shape_.heads,
                         .kv = kv_,
                         .kv_layer = args.kv_layer,
                         .out = out},
                        lane);
    });
    Output seen = Collect("probe", out);
    for (double& v : seen.values) v += 0.0;  // the sign of a weight that vanished means nothing
    return seen;
  }

  // Quarter turns; norms of rows whose elements are all plus or minus one power of two; a probe so
  // strong that a position has all the weight or none.
  void MakeExact(Rng& rng) {
    for (std::int64_t r = 0; r < shape_.rows; ++r) {
      for (std::int64_t c = 0; c < qkv_.cols; ++c) {
        const bool normed = shape_.flag && c < q_width_ + kv_width_;
        qkv_.at(r, c) = !normed ? ExactValue(rng) : rng.Below(2) == 0 ? 0.5f : -0.5f;
      }
      for (std::int64_t i = 0; i < cos_.cols; ++i) {
        const std::uint64_t quarter = rng.Below(4);
        cos_.at(r, i) = quarter == 0 ? 1.0f : quarter == 2 ? -1.0f : 0.0f;
        sin_.at(r, i) = quarter == 1 ? 1.0f : quarter == 3 ? -1.0f : 0.0f;
      }
    }
    for (float& w : norms_.values) w = ExactValue(rng);
    std::fill(probe_.values.begin(), probe_.values.end(), 0.0f);
    for (std::int64_t r = 0; r < shape_.rows; ++r) {
      for (int h = 0; h < shape_.heads; ++h) {
        probe_.at(r, std::int64_t{h} * kv_.head_dim + (r * 5 + h) % kv_.head_dim) = 0x1p14f;
      }
    }
  }
  void MakeHostile() {
    for (std::int64_t r = 0; r < shape_.rows; ++r) {
      if (r % 3 == 1) std::fill_n(qkv_.row(r), q_width_ + kv_width_, 0.0f);
      if (r % 3 == 2) qkv_.at(r, 0) = NAN;  // head 0 of q alone
    }
  }

  Shape shape_;
  bool exact_;
  KvShape kv_;
  std::int64_t q_width_, kv_width_;
  Grid qkv_, cos_, sin_, norms_, probe_;
};

std::vector<Shape> Shapes() {
  std::vector<Shape> shapes;
  const auto add = [&](int rows, int heads, int kv_heads, int dim) {
    for (const bool norms : {true, false}) {
      for (const DType stored : {DType::kBf16, DType::kF32}) {
        shapes.push_back({.rows = rows,
                          .heads = heads,
                          .kv_heads = kv_heads,
                          .head_dim = dim,
                          .flag = norms,
                          .stored = stored});
      }
    }
  };
  add(1, 1, 1, 2);
  add(7, 4, 2, 16);
  add(6, 3, 1, 34);
  add(6, 6, 2, 50);
  add(6, 2, 2, 64);
  add(13, 8, 2, 80);
  add(6, 32, 4, 128);
  add(0, 2, 1, 32);
  add(2, 1, 1, kHeadDimMax);
  return shapes;
}

std::vector<Shape> BenchShapes() {
  return {{.rows = 1, .heads = 32, .kv_heads = 4, .head_dim = 128, .flag = true},
          {.rows = 128, .heads = 32, .kv_heads = 4, .head_dim = 128, .flag = true}};
}

Cost CostOf(const Shape& shape, const KernelSet& kernels) {
  const auto q = static_cast<double>(shape.rows * shape.heads * shape.head_dim);
  const auto kv = static_cast<double>(shape.rows * 2 * shape.kv_heads * shape.head_dim);
  return {q * (4 + static_cast<double>(BytesOf(kernels.activation))) +
              kv * (4 + static_cast<double>(BytesOf(shape.stored))),
          0};
}

std::unique_ptr<Case> Make(const Shape& shape, InputClass input, std::uint64_t seed) {
  return std::make_unique<QkvFinishCase>(shape, input, seed);
}

}  // namespace

const Spec kQkvFinishSpec{"qkv_finish", Shapes, BenchShapes, Make, CostOf};

}  // namespace conclave::conformance
