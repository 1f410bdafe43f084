#include "tests/kernels/values.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "tests/kernels/memory.h"

namespace conclave::conformance {
namespace {

// Only for values that f16 holds exactly.
std::uint16_t ToF16Exact(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (bits >> 16) & 0x8000u;
  if (std::isnan(value)) return 0x7e00;
  if (std::isinf(value)) return static_cast<std::uint16_t>(sign | 0x7c00u);
  if (std::abs(value) < 0x1p-14f) {  // subnormal or zero
    const float steps = std::abs(value) * 0x1p24f;
    CONCLAVE_CHECK(steps == std::floor(steps), "%g", static_cast<double>(value));
    return static_cast<std::uint16_t>(sign | static_cast<std::uint32_t>(steps));
  }
  const auto exponent = static_cast<std::int32_t>((bits >> 23) & 0xffu) - 112;
  CONCLAVE_CHECK(exponent > 0 && exponent < 31 && (bits & 0x1fffu) == 0, "%g",
                 static_cast<double>(value));
  return static_cast<std::uint16_t>(sign | (static_cast<std::uint32_t>(exponent) << 10) |
                                    ((bits & 0x7fffffu) >> 13));
}

}  // namespace

float ExactValue(Rng& rng) { return (static_cast<float>(rng.Below(9)) - 4.0f) / 4.0f; }

float RoundedToBf16(float value) { return ToFloat(ToBf16(value)); }

Grid ExactGrid(Rng& rng, std::int64_t rows, std::int64_t cols) {
  Grid grid(rows, cols);
  for (float& v : grid.values) v = ExactValue(rng);
  return grid;
}

Grid GaussianGrid(Rng& rng, std::int64_t rows, std::int64_t cols, double scale) {
  Grid grid(rows, cols);
  for (float& v : grid.values) {
    v = RoundedToBf16(static_cast<float>(rng.Normal() * scale));
    if (std::abs(v) < 0x1p-14f) v = 0;  // f16 has too few bits there
  }
  return grid;
}

TensorView Store(Memory& memory, const std::string& name, DType dtype, const Grid& grid) {
  const std::size_t bytes = grid.values.size() * BytesOf(dtype);
  std::byte* data = memory.Bytes(name, Use::kIn, bytes, /*loose=*/true);
  for (std::size_t i = 0; i < grid.values.size(); ++i) {
    const float value = grid.values[i];
    if (dtype == DType::kF32) {
      std::memcpy(data + 4 * i, &value, 4);
    } else {
      const std::uint16_t half = dtype == DType::kBf16 ? ToBf16(value).bits : ToF16Exact(value);
      std::memcpy(data + 2 * i, &half, 2);
    }
  }
  return {dtype, grid.rows, grid.cols, data};
}

void FillActivationRow(const Activations& out, std::int64_t row, const float* values) {
  std::memset(out.row(row), 0, static_cast<std::size_t>(ActivationRowBytes(out.cols, out.dtype)));
  for (std::int64_t c = 0; c < out.cols; ++c) {
    if (out.dtype == DType::kBf16) {
      reinterpret_cast<Bf16*>(out.row(row))[c] = ToBf16(values[c]);
    } else {
      reinterpret_cast<float*>(out.row(row))[c] = values[c];
    }
  }
}

float ActivationAt(const Activations& rows, std::int64_t row, std::int64_t col) {
  if (rows.dtype == DType::kBf16) return ToFloat(reinterpret_cast<const Bf16*>(rows.row(row))[col]);
  return reinterpret_cast<const float*>(rows.row(row))[col];
}

bool WithinRounding(double want, double got, double magnitude_sum, double terms,
                    double unit_roundoff) {
  const double slack = (terms + 2) * unit_roundoff * magnitude_sum + unit_roundoff * std::abs(want);
  return std::isfinite(got) && std::abs(got - want) <= slack;
}

bool Within(double want, double got, double slack) {
  if (std::isnan(want)) return std::isnan(got);
  if (std::isinf(want)) return want == got;
  return std::isfinite(got) && std::abs(got - want) <= slack;
}

bool SameBits(double a, double b) {
  if (std::isnan(a)) return std::isnan(b);
  return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
}

void Sum::Add(double a, double b) {
  value += a * b;
  magnitude += std::abs(a * b);
}

}  // namespace conclave::conformance
