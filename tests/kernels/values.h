// Inputs and what is right about outputs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/float_types.h"
#include "base/philox.h"
#include "base/tensor_view.h"
#include "kernels/activations.h"

namespace conclave::conformance {

class Memory;

inline constexpr double kUnitF32 = 0x1p-24;  // half an ulp: the error of one rounding
inline constexpr double kUnitBf16 = 0x1p-8;
inline constexpr double UnitOf(DType dtype) { return dtype == DType::kBf16 ? kUnitBf16 : kUnitF32; }

// Row-major floats.
struct Grid {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::vector<float> values;

  Grid() = default;
  Grid(std::int64_t r, std::int64_t c)
      : rows(r), cols(c), values(static_cast<std::size_t>(r * c)) {}
  float& at(std::int64_t r, std::int64_t c) {
    return values[static_cast<std::size_t>(r * cols + c)];
  }
  float at(std::int64_t r, std::int64_t c) const {
    return values[static_cast<std::size_t>(r * cols + c)];
  }
  const float* row(std::int64_t r) const { return values.data() + r * cols; }
  float* row(std::int64_t r) { return values.data() + r * cols; }
};

// n/4 for n from -4 to 4: products lie on a grid of 1/16 and sums of 2^20 of them fit a float.
float ExactValue(Rng& rng);
float RoundedToBf16(float value);
// All values are bf16 numbers, so that every activation type holds them exactly.
Grid ExactGrid(Rng& rng, std::int64_t rows, std::int64_t cols);
Grid GaussianGrid(Rng& rng, std::int64_t rows, std::int64_t cols, double scale);

// The grid as a checkpoint would store it, at an address without alignment.
TensorView Store(Memory& memory, const std::string& name, DType dtype, const Grid& grid);
// One row in activation form, padding zeroed.
void FillActivationRow(const Activations& out, std::int64_t row, const float* values);
float ActivationAt(const Activations& rows, std::int64_t row, std::int64_t col);

// True only when `got` is as close to `want` as `terms` rounded operations of this total magnitude
// allow. NaN and infinity fail by construction.
bool WithinRounding(double want, double got, double magnitude_sum, double terms,
                    double unit_roundoff);

// Finite: |got - want| <= slack. Not finite: got is the same kind of not finite.
bool Within(double want, double got, double slack);

// Equal bits, any NaN equal to any other.
bool SameBits(double a, double b);

// An oracle's sum: exact enough in double, with what its error bounds need.
struct Sum {
  double value = 0;
  double magnitude = 0;  // sum of |a * b|
  void Add(double a, double b);
};

}  // namespace conclave::conformance
