#include "tests/kernels/ffn_case.h"

#include <cmath>

#include "tests/kernels/specs.h"

namespace conclave::conformance {
namespace {

// Weights of one expert, as in the file.
struct Expert {
  Grid gate, up, down;
};

// What the kernels get, kept alive by the prepared call.
struct Call {
  std::vector<FfnGroup> groups;
  std::vector<const std::byte*> rows;
  std::vector<float*> answers;
  std::vector<std::int64_t> slot_of;  // of each row asked for
  Activations middle;
  MatrixView<float> out;
};

class FfnCase : public Case {
 public:
  FfnCase(const Shape& shape, InputClass input, std::uint64_t seed)
      : shape_(shape), input_(input), rng_(seed) {
    for (std::int64_t s = 0; s < shape.rows; ++s) expert_of_.push_back(ExpertOf(s));
  }
  std::int64_t rows() const override { return shape_.rows; }

 protected:
  // Gaussian: anywhere. Hostile: edges of words, many experts empty, or all slots to the last one.
  int ExpertOf(std::int64_t slot) {
    const int edges[] = {0, 31, 32, 63, 64, 127};
    if (input_ != InputClass::kHostile) {
      return static_cast<int>(rng_.Below(static_cast<std::uint64_t>(shape_.experts)));
    }
    return shape_.experts > 8 ? edges[slot % 6] % shape_.experts : shape_.experts - 1;
  }

  // Groups in expert order; within a group the slots keep the batch's order.
  std::shared_ptr<Call> Lay(const KernelSet& kernels, std::span<const int> rows,
                            Memory& memory) const {
    auto call = std::make_shared<Call>();
    call->slot_of.resize(rows.size());
    std::int64_t next = 0;
    for (int e = 0; e < shape_.experts; ++e) {
      FfnGroup group{{}, next, 0};
      for (std::size_t i = 0; i < rows.size(); ++i) {
        if (expert_of_[static_cast<std::size_t>(rows[i])] != e) continue;
        call->slot_of[i] = next++;
        ++group.slots;
      }
      if (group.slots > 0) group.weights = Packed(kernels, e, memory);  // else nothing is read
      call->groups.push_back(group);
    }
    return call;
  }
  PackedFfn Packed(const KernelSet& kernels, int e, Memory& memory) const {
    std::byte* out = memory.Bytes("packed", Use::kIn, kernels.packed_ffn_bytes(shape_.k, shape_.n));
    const Expert& expert = experts_[static_cast<std::size_t>(e)];
    kernels.pack_ffn({.gate = Store(memory, "gate", shape_.stored, expert.gate),
                      .up = Store(memory, "up", shape_.stored, expert.up),
                      .down = Store(memory, "down", shape_.stored, expert.down),
                      .out = out});
    return {out};
  }
  // Outputs in the order of the rows asked for.
  static Output InRowOrder(const Call& call, const Output& by_slot) {
    Output output{.name = by_slot.name, .cols = by_slot.cols, .values = {}};
    for (const std::int64_t slot : call.slot_of) {
      const std::span<const double> row = by_slot.row(slot);
      output.values.insert(output.values.end(), row.begin(), row.end());
    }
    return output;
  }
  void MakeHostileRows(Grid& rows) {
    const float odd[] = {NAN, 0x1p40f, -0x1p40f, -0.0f};
    for (std::int64_t r = 0; r < rows.rows; ++r) {
      if (r % 3 == 1) std::fill_n(rows.row(r), rows.cols, 0.0f);
      if (r % 3 == 2) rows.at(r, rows.cols - 1) = odd[r / 3 % 4];
    }
  }
  void MakeGaussianExperts() {
    for (int e = 0; e < shape_.experts; ++e) {
      const double by_hidden = 1 / std::sqrt(static_cast<double>(shape_.k));
      const double by_width = 1 / std::sqrt(static_cast<double>(shape_.n));
      experts_.push_back({GaussianGrid(rng_, shape_.n, shape_.k, 2 * by_hidden),
                          GaussianGrid(rng_, shape_.n, shape_.k, by_hidden),
                          GaussianGrid(rng_, shape_.k, shape_.n, by_width)});
    }
  }

  Shape shape_;
  InputClass input_;
  Rng rng_;
  std::vector<int> expert_of_;
  std::vector<Expert> experts_;
};

class FfnUpCase final : public FfnCase {
 public:
  FfnUpCase(const Shape& shape, InputClass input, std::uint64_t seed)
      : FfnCase(shape, input, seed) {
    in_ = GaussianGrid(rng_, (shape.rows + 1) / 2, shape.k, 1);  // two slots share a row
    MakeGaussianExperts();
    if (input == InputClass::kExact) MakeExact();
    if (input == InputClass::kHostile) MakeHostileRows(in_);
  }

  Prepared Prepare(const KernelSet& kernels, std::span<const int> rows,
                   Memory& memory) const override {
    const auto count = static_cast<std::int64_t>(rows.size());
    const auto call = Lay(kernels, rows, memory);
    const auto in = memory.ActivationRows("rows", Use::kIn, kernels.activation, in_.rows, shape_.k);
    for (std::int64_t r = 0; r < in_.rows; ++r) FillActivationRow(in, r, in_.row(r));
    call->rows.resize(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      call->rows[static_cast<std::size_t>(call->slot_of[i])] = in.row(rows[i] / 2);
    }
    call->middle = memory.ActivationRows("middle", Use::kOut, kernels.activation, count, shape_.n);
    const FfnUpArgs args{.groups = call->groups,
                         .rows = call->rows,
                         .hidden = shape_.k,
                         .width = shape_.n,
                         .middle = call->middle};
    const bool exact = input_ == InputClass::kExact;
    return {[&kernels, args](const Lane& lane) { kernels.ffn_up(args, lane); },
            [call, exact] {
              Output middle = InRowOrder(*call, Collect("middle", call->middle));
              // silu may be off by its stated ulps; what is exact is the bf16 next to it.
              for (double& v : middle.values) {
                if (exact) v = double{RoundedToBf16(static_cast<float>(v))};
              }
              return Result{{middle}, ""};
            }};
  }

  std::string Compare(const KernelSet& kernels, const Result&, const Result& got) const override {
    for (std::int64_t s = 0; s < shape_.rows; ++s) {
      const Expert& expert =
          experts_[static_cast<std::size_t>(expert_of_[static_cast<std::size_t>(s)])];
      for (std::int64_t c = 0; c < shape_.n; ++c) {
        Sum gate, up;
        for (std::int64_t k = 0; k < shape_.k; ++k) {
          gate.Add(in_.at(s / 2, k), expert.gate.at(c, k));
          up.Add(in_.at(s / 2, k), expert.up.at(c, k));
        }
        const double silu = gate.value / (1 + std::exp(-gate.value));
        const double want = silu * up.value;
        const double slack = Slack(gate, up, silu, UnitOf(kernels.activation));
        const double value = got.outputs[0].row(s)[static_cast<std::size_t>(c)];
        if (!Within(want, value, slack)) return Finding("middle", s, c, value, want, slack);
      }
    }
    return "";
  }

 private:
  double SumSlack(const Sum& sum) const {
    const double terms = static_cast<double>(PaddedCols(shape_.k)) + 2;
    return terms * kUnitF32 * sum.magnitude + kUnitF32 * std::abs(sum.value);
  }
  double Slack(const Sum& gate, const Sum& up, double silu, double unit_out) const {
    const double in_silu = 1.1 * SumSlack(gate);  // |silu'| < 1.1 everywhere
    const double of_silu = in_silu + kSiluUlpMax * 0x1p-23 * (std::abs(silu) + in_silu) + 0x1p-100;
    const double of_up = SumSlack(up);
    const double product =
        of_silu * (std::abs(up.value) + of_up) + std::abs(silu) * of_up + 0x1p-120;
    const double size = std::abs(silu * up.value) + product;
    return product + (kUnitF32 + unit_out) * size * 1.001;
  }
  // Gates of 32 and more, where silu(g) = g in float, and products of at most 8 bits. Even experts:
  // gate 64, up any small integer. Odd ones: gate 4 * (128 + integer), up a power of two.
  void MakeExact() {
    const auto small = [&] { return static_cast<float>(rng_.Below(3)) - 1.0f; };
    for (float& v : in_.values) v = small();
    for (std::int64_t r = 0; r < in_.rows; ++r) in_.at(r, 0) = 1;
    for (int e = 0; e < shape_.experts; ++e) {
      Expert& expert = experts_[static_cast<std::size_t>(e)];
      Grid& wide = e % 2 == 0 ? expert.up : expert.gate;
      Grid& single = e % 2 == 0 ? expert.gate : expert.up;
      for (float& v : wide.values) v = small() * (e % 2 == 0 ? 1.0f : 4.0f);
      std::fill(single.values.begin(), single.values.end(), 0.0f);
      for (std::int64_t c = 0; c < shape_.n; ++c) {
        single.at(c, 0) = e % 2 == 0 ? 64.0f : std::ldexp(1.0f, -static_cast<int>(c % 4));
        if (e % 2 == 1) wide.at(c, 0) = 512;
      }
    }
  }

  Grid in_;
};

class FfnDownCase final : public FfnCase {
 public:
  FfnDownCase(const Shape& shape, InputClass input, std::uint64_t seed)
      : FfnCase(shape, input, seed) {
    middle_ = GaussianGrid(rng_, shape.rows, shape.n, 1);
    MakeGaussianExperts();
    if (input == InputClass::kHostile) MakeHostileRows(middle_);
    if (input != InputClass::kExact) return;
    middle_ = ExactGrid(rng_, shape.rows, shape.n);
    for (Expert& expert : experts_) expert.down = ExactGrid(rng_, shape.k, shape.n);
  }

  Prepared Prepare(const KernelSet& kernels, std::span<const int> rows,
                   Memory& memory) const override {
    const auto count = static_cast<std::int64_t>(rows.size());
    const auto call = Lay(kernels, rows, memory);
    call->middle = memory.ActivationRows("middle", Use::kIn, kernels.activation, count, shape_.n);
    call->out = memory.Matrix<float>("answers", Use::kOut, count, shape_.k);
    call->answers.resize(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      FillActivationRow(call->middle, call->slot_of[i], middle_.row(rows[i]));
      // Answers lie in the order of the rows, not of the slots.
      call->answers[static_cast<std::size_t>(call->slot_of[i])] =
          call->out.row(static_cast<std::int64_t>(i));
    }
    const FfnDownArgs args{.groups = call->groups,
                           .middle = call->middle,
                           .hidden = shape_.k,
                           .width = shape_.n,
                           .answers = call->answers};
    return {[&kernels, args](const Lane& lane) { kernels.ffn_down(args, lane); },
            [call] {
              return Result{{Collect("answers", call->out)}, ""};
            }};
  }

  std::string Compare(const KernelSet&, const Result&, const Result& got) const override {
    for (std::int64_t s = 0; s < shape_.rows; ++s) {
      const Grid& down =
          experts_[static_cast<std::size_t>(expert_of_[static_cast<std::size_t>(s)])].down;
      for (std::int64_t c = 0; c < shape_.k; ++c) {
        Sum sum;
        for (std::int64_t k = 0; k < shape_.n; ++k) sum.Add(middle_.at(s, k), down.at(c, k));
        const double value = got.outputs[0].row(s)[static_cast<std::size_t>(c)];
        const bool good = std::isfinite(sum.value)
                              ? WithinRounding(sum.value, value, sum.magnitude,
                                               static_cast<double>(PaddedCols(shape_.n)), kUnitF32)
                              : Within(sum.value, value, 0);
        if (!good) return Finding("answers", s, c, value, sum.value, sum.magnitude * kUnitF32);
      }
    }
    return "";
  }

 private:
  Grid middle_;
};

}  // namespace

std::unique_ptr<Case> MakeFfnUp(const Shape& shape, InputClass input, std::uint64_t seed) {
  return std::make_unique<FfnUpCase>(shape, input, seed);
}
std::unique_ptr<Case> MakeFfnDown(const Shape& shape, InputClass input, std::uint64_t seed) {
  return std::make_unique<FfnDownCase>(shape, input, seed);
}

}  // namespace conclave::conformance
