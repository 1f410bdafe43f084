// What packing does to the numbers: nothing in the reference set, one rounding to nearest even in a
// bf16 set, whatever type the checkpoint has. Read back by multiplying with unit rows.
#include <gtest/gtest.h>

#include "tests/kernels/specs.h"

namespace conclave::conformance {
namespace {

constexpr std::int64_t kChannels = 21;
constexpr std::int64_t kCols = 35;

KernelSet SetNamed(const std::string& name) {
  std::vector<std::string> filled;
  return SelectKernels(ParseKernelChoice(name).value(), filled).value();
}

float AsKept(const KernelSet& kernels, float value) {
  return kernels.weight == DType::kBf16 ? RoundedToBf16(value) : value;
}

// Values in [1, 2) with every bit of the stored type's mantissa in use. Every third is a tie
// between two bf16 numbers (where the type has the bits for one), with an even or an odd lower
// neighbour.
Grid Values(DType stored) {
  const std::uint64_t steps = stored == DType::kF32   ? 1u << 23
                              : stored == DType::kF16 ? 1u << 10
                                                      : 128;
  Rng rng(17);
  Grid grid(kChannels, kCols);
  for (std::size_t i = 0; i < grid.values.size(); ++i) {
    const double fraction = static_cast<double>(rng.Below(steps)) / static_cast<double>(steps);
    const bool tie = i % 3 == 0 && stored != DType::kBf16;
    const double middle = (static_cast<double>(i % 127) + 0.5) / 128;
    const double sign = rng.Below(2) == 0 ? 1 : -1;
    grid.values[i] = static_cast<float>(sign * (1 + (tie ? middle : fraction)));
  }
  return grid;
}

Activations UnitRows(const KernelSet& kernels, Memory& memory) {
  const auto rows = memory.ActivationRows("rows", Use::kIn, kernels.activation, kCols, kCols);
  for (std::int64_t r = 0; r < kCols; ++r) {
    std::vector<float> unit(static_cast<std::size_t>(kCols));
    unit[static_cast<std::size_t>(r)] = 1;
    FillActivationRow(rows, r, unit.data());
  }
  return rows;
}

class Pack : public testing::TestWithParam<std::tuple<std::string, DType>> {};

TEST_P(Pack, KeepsOrRoundsEveryElementOnItsOwn) {
  const KernelSet kernels = SetNamed(std::get<0>(GetParam()));
  const DType stored = std::get<1>(GetParam());
  const Grid values = Values(stored);
  Memory memory(1);
  const TensorView source = Store(memory, "w", stored, values);
  const LinearArgs args{.in = UnitRows(kernels, memory),
                        .w = PackFor(kernels, {&source, 1}, 2, memory),
                        .bias = {},
                        .out = memory.Matrix<float>("out", Use::kOut, kCols, kChannels)};
  RunLanes(1, [&](const Lane& lane) { kernels.linear(args, lane); });
  for (std::int64_t n = 0; n < kChannels; ++n) {
    for (std::int64_t k = 0; k < kCols; ++k) {
      EXPECT_EQ(args.out.row(k)[n], AsKept(kernels, values.at(n, k))) << n << " " << k;
    }
  }
}

TEST_P(Pack, DoesTheSameToTheFeedForwardMatrices) {
  const KernelSet kernels = SetNamed(std::get<0>(GetParam()));
  const DType stored = std::get<1>(GetParam());
  const Grid down = Values(stored);  // [hidden = kChannels, width = kCols]
  const Grid other(kCols, kChannels);
  Memory memory(1);
  std::byte* packed = memory.Bytes("packed", Use::kIn, kernels.packed_ffn_bytes(kChannels, kCols));
  kernels.pack_ffn({.gate = Store(memory, "gate", stored, other),
                    .up = Store(memory, "up", stored, other),
                    .down = Store(memory, "down", stored, down),
                    .out = packed});
  const auto out = memory.Matrix<float>("out", Use::kOut, kCols, kChannels);
  std::vector<float*> answers;
  for (std::int64_t r = 0; r < kCols; ++r) answers.push_back(out.row(r));
  const FfnGroup group{{packed}, 0, kCols};
  const FfnDownArgs args{.groups = {&group, 1},
                         .middle = UnitRows(kernels, memory),
                         .hidden = kChannels,
                         .width = kCols,
                         .answers = answers};
  RunLanes(1, [&](const Lane& lane) { kernels.ffn_down(args, lane); });
  for (std::int64_t n = 0; n < kChannels; ++n) {
    for (std::int64_t k = 0; k < kCols; ++k) {
      EXPECT_EQ(out.row(k)[n], AsKept(kernels, down.at(n, k))) << n << " " << k;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, Pack,
                         testing::Combine(testing::ValuesIn(KernelSetsHere()),
                                          testing::Values(DType::kBf16, DType::kF16, DType::kF32)),
                         [](const auto& param_info) {
                           return std::get<0>(param_info.param) + "_" +
                                  conclave::NameOf(std::get<1>(param_info.param));
                         });

}  // namespace
}  // namespace conclave::conformance
