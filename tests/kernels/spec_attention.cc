// A row is one position of one of several sequences. The whole case is a few long spans (prefill),
// a row alone is a decode step: their bits must agree.
#include <cmath>

#include "tests/kernels/kv_cache.h"
#include "tests/kernels/specs.h"

namespace conclave::conformance {
namespace {

struct Row {
  int sequence;
  int position;
};

struct Sequence {
  std::vector<BlockId> blocks;
  Grid keys, values;  // [positions, kv_heads * head_dim]
};

class AttentionCase final : public Case {
 public:
  AttentionCase(const Shape& shape, InputClass input, std::uint64_t seed)
      : shape_(shape), kv_{shape.kv_heads, shape.head_dim, shape.stored} {
    Rng rng(seed);
    // shape.n sequences; sequence s has shape.k / (s + 1) positions before its first row.
    for (int s = 0; s < shape.n; ++s) {
      const auto begin = static_cast<int>(shape.k / (s + 1));
      const auto rows = static_cast<int>(shape.rows * (s + 1) / shape.n - shape.rows * s / shape.n);
      for (int i = 0; i < rows; ++i) rows_.push_back({s, begin + i});
      Sequence& sequence = sequences_.emplace_back();
      const std::int64_t width = std::int64_t{shape.kv_heads} * shape.head_dim;
      sequence.keys = GaussianGrid(rng, begin + rows, width, 1.5);
      sequence.values = GaussianGrid(rng, begin + rows, width, 1);
      for (int p = 0; p < begin + rows; p += kKvBlockTokens) {
        sequence.blocks.push_back({blocks_total_++});
      }
    }
    // Blocks of the sequences are interleaved in memory, in falling order.
    for (Sequence& sequence : sequences_) {
      for (BlockId& block : sequence.blocks) block.value = blocks_total_ - 1 - block.value;
    }
    q_ = GaussianGrid(rng, shape.rows, std::int64_t{shape.heads} * shape.head_dim, 1.5);
    if (input == InputClass::kExact) MakeExact(rng);
    if (input == InputClass::kHostile) MakeHostile();
  }

  std::int64_t rows() const override { return shape_.rows; }

  Prepared Prepare(const KernelSet& kernels, std::span<const int> rows,
                   Memory& memory) const override {
    const auto count = static_cast<std::int64_t>(rows.size());
    const std::size_t bytes = kernels.kv_block_bytes(kv_) * static_cast<std::size_t>(blocks_total_);
    std::byte* layer = memory.Bytes("cache", Use::kIn, bytes);
    for (const Sequence& sequence : sequences_) {
      std::vector<KvPlace> places;
      for (int p = 0; p < sequence.keys.rows; ++p) {
        places.push_back(
            {sequence.blocks[static_cast<std::size_t>(p / kKvBlockTokens)], p % kKvBlockTokens});
      }
      FillCache(kernels, {kv_, layer, places, sequence.keys, sequence.values});
    }
    const auto q = memory.ActivationRows("q", Use::kIn, kernels.activation, count, q_.cols);
    const auto spans = std::make_shared<std::vector<AttentionSpan>>();
    for (std::int64_t i = 0; i < count; ++i) {
      const int r = rows[static_cast<std::size_t>(i)];
      FillActivationRow(q, i, q_.row(r));
      const Row& row = rows_[static_cast<std::size_t>(r)];
      const bool next = i > 0 && rows[static_cast<std::size_t>(i - 1)] == r - 1 &&
                        rows_[static_cast<std::size_t>(r - 1)].sequence == row.sequence;
      if (next) {
        ++spans->back().rows;
      } else {
        spans->push_back(
            {i, 1, row.position, sequences_[static_cast<std::size_t>(row.sequence)].blocks});
      }
    }
    const AttentionArgs args{
        .q = q,
        .spans = *spans,
        .heads = shape_.heads,
        .kv = kv_,
        .kv_layer = layer,
        .out = memory.ActivationRows("out", Use::kOut, kernels.activation, count, q_.cols)};
    return {[&kernels, args, spans](const Lane& lane) { kernels.attention(args, lane); },
            [args] {
              return Result{{Collect("out", args.out)}, ""};
            }};
  }

  std::string Compare(const KernelSet& kernels, const Result&, const Result& got) const override {
    for (std::int64_t r = 0; r < shape_.rows; ++r) {
      for (int h = 0; h < shape_.heads; ++h) {
        const std::size_t first =
            static_cast<std::size_t>(h) * static_cast<std::size_t>(kv_.head_dim);
        std::string wrong = CompareHead(
            kernels, r, h,
            got.outputs[0].row(r).subspan(first, static_cast<std::size_t>(kv_.head_dim)));
        if (!wrong.empty()) return wrong;
      }
    }
    return "";
  }

 private:
  // Bound: each weight exp(score - max) is off, relatively, by its score's error, by one exp and
  // two roundings for every fold it has been through, by the differences of maxima rounded on the
  // way, and, with a bf16 cache, by its own rounding to bf16; then come the two sums and the
  // division.
  std::string CompareHead(const KernelSet& kernels, std::int64_t r, int h,
                          std::span<const double> got) const {
    const Row& row = rows_[static_cast<std::size_t>(r)];
    const Sequence& sequence = sequences_[static_cast<std::size_t>(row.sequence)];
    const std::int64_t base = std::int64_t{h / (shape_.heads / kv_.kv_heads)} * kv_.head_dim;
    const double scale = 1 / std::sqrt(static_cast<double>(kv_.head_dim));
    std::vector<Sum> scores;
    double max = -HUGE_VAL, size = 0, score_error = 0;
    for (int p = 0; p <= row.position; ++p) {
      Sum& score = scores.emplace_back();
      for (int i = 0; i < kv_.head_dim; ++i) {
        score.Add(q_.at(r, std::int64_t{h} * kv_.head_dim + i) * scale,
                  sequence.keys.at(p, base + i));
      }
      max = std::fmax(max, score.value);
      size = std::fmax(size, std::abs(score.value));
      score_error = std::fmax(score_error, (kv_.head_dim + 6) * kUnitF32 * score.magnitude);
    }
    const double folds = std::ceil((row.position + 1.0) / kKvBlockTokens) + 1;
    const double n = row.position + 1.0 + folds;
    const double of_weight = std::expm1(2 * score_error + 4 * size * kUnitF32 +
                                        folds * (kAttentionExpUlpMax + 1) * 0x1p-23) +
                             (kv_.dtype == DType::kBf16 ? kUnitBf16 * 1.01 : 0);
    double total = 0;
    for (const Sum& score : scores) total += std::exp(score.value - max);
    for (int i = 0; i < kv_.head_dim; ++i) {
      Sum out;
      for (int p = 0; p <= row.position; ++p) {
        out.Add(std::exp(scores[static_cast<std::size_t>(p)].value - max) / total,
                sequence.values.at(p, base + i));
      }
      // A relative error common to numerator and denominator of at most of_weight in each.
      const double relative = of_weight + (n + 4) * kUnitF32;
      const double slack =
          relative * (out.magnitude + std::abs(out.value)) * (1 + 2 * relative) +
          UnitOf(kernels.activation) * (std::abs(out.value) + out.magnitude * relative * 2) +
          n * 0x1p-100;
      const double value = got[static_cast<std::size_t>(i)];
      if (!Within(out.value, value, slack)) {
        return Finding("out", r, h * kv_.head_dim + i, value, out.value, slack);
      }
    }
    return "";
  }

  // The last of a few rising records before a row's position takes all the weight: its distance to
  // the rest is so great that every other exp is zero. Records after the position are greater
  // still.
  void MakeExact(Rng& rng) {
    std::fill(q_.values.begin(), q_.values.end(), 0.0f);
    const auto mark = [&](int kv_head) {  // the channel that carries the score
      return (kv_head * 7 + 3) % kv_.head_dim;
    };
    for (std::int64_t r = 0; r < shape_.rows; ++r) {
      for (int h = 0; h < shape_.heads; ++h) {
        const int kv_head = h / (shape_.heads / kv_.kv_heads);
        q_.at(r, std::int64_t{h} * kv_.head_dim + mark(kv_head)) = 64;
      }
    }
    for (Sequence& sequence : sequences_) {
      sequence.values = ExactGrid(rng, sequence.values.rows, sequence.values.cols);
      for (float& v : sequence.values.values) v = v == 0 ? 1.25f : v;
      for (int head = 0; head < kv_.kv_heads; ++head) {
        const std::int64_t column = std::int64_t{head} * kv_.head_dim + mark(head);
        const auto positions = static_cast<std::uint64_t>(sequence.keys.rows);
        int records = 0;
        for (std::int64_t p = 0; p < sequence.keys.rows; ++p) {
          const bool record = p == 0 || (records < 7 && rng.Below(positions / 6 + 1) == 0);
          sequence.keys.at(p, column) = record ? static_cast<float>(64 * ++records) : 0.0f;
        }
      }
    }
  }

  void MakeHostile() {
    for (std::int64_t r = 0; r < shape_.rows; ++r) {
      if (r % 4 == 1) std::fill_n(q_.row(r), q_.cols, 0.0f);  // all weights equal
      if (r % 4 == 2) q_.at(r, 0) = NAN;                      // poisons head 0 of this row alone
      if (r % 4 == 3) q_.at(r, 1) = 1024;                     // one score far from the rest
    }
    for (Sequence& sequence : sequences_) {
      for (std::int64_t p = 1; p < sequence.keys.rows; p += 3) {  // ties
        std::copy_n(sequence.keys.row(p - 1), sequence.keys.cols, sequence.keys.row(p));
      }
      if (sequence.values.rows > 0) sequence.values.at(sequence.values.rows / 2, 0) = 0x1p30f;
    }
  }

  Shape shape_;
  KvShape kv_;
  std::vector<Row> rows_;
  std::vector<Sequence> sequences_;
  Grid q_;
  int blocks_total_ = 0;
};

std::vector<Shape> Shapes() {
  std::vector<Shape> shapes;
  const auto add = [&](int rows, int sequences, int before, int heads, int kv_heads, int dim) {
    for (const DType stored : {DType::kBf16, DType::kF32}) {
      shapes.push_back({.rows = rows,
                        .n = sequences,
                        .k = before,
                        .heads = heads,
                        .kv_heads = kv_heads,
                        .head_dim = dim,
                        .stored = stored});
    }
  };
  add(1, 1, 0, 1, 1, 2);
  add(5, 2, 30, 4, 2, 16);
  add(7, 3, 31, 6, 2, 50);
  add(40, 1, 0, 4, 4, 32);     // across the edge of a block
  add(9, 3, 126, 8, 2, 64);    // across 127, 128, 129
  add(6, 2, 255, 32, 4, 128);  // as in Qwen3-30B-A3B
  add(70, 2, 0, 2, 1, 48);
  add(4, 2, 600, 3, 3, 80);
  add(0, 1, 40, 2, 1, 32);
  add(1, 1, 33, 2, 1, kHeadDimMax);
  add(3, 1, 40, 70, 1, 16);  // many heads on one kv head
  return shapes;
}

std::vector<Shape> BenchShapes() {
  return {{.rows = 1, .n = 1, .k = 4000, .heads = 32, .kv_heads = 4, .head_dim = 128},
          {.rows = 8, .n = 8, .k = 4000, .heads = 32, .kv_heads = 4, .head_dim = 128},
          {.rows = 256, .n = 1, .k = 1000, .heads = 32, .kv_heads = 4, .head_dim = 128}};
}

Cost CostOf(const Shape& shape, const KernelSet&) {
  double positions = 0, cached = 0;
  for (int s = 0; s < shape.n; ++s) {
    const auto begin = static_cast<double>(shape.k / (s + 1));
    const auto rows =
        static_cast<double>(shape.rows * (s + 1) / shape.n - shape.rows * s / shape.n);
    cached += begin + rows;
    positions += rows * (begin + (rows + 1) / 2);
  }
  return {cached * 2 * shape.kv_heads * shape.head_dim * static_cast<double>(BytesOf(shape.stored)),
          positions * 4 * shape.heads * shape.head_dim};
}

std::unique_ptr<Case> Make(const Shape& shape, InputClass input, std::uint64_t seed) {
  return std::make_unique<AttentionCase>(shape, input, seed);
}

}  // namespace

const Spec kAttentionSpec{"attention", Shapes, BenchShapes, Make, CostOf};

}  // namespace conclave::conformance
