// What the reference kernels share: dot products and activation rows. Only *_ref.cc files include
// this; they are compiled without instruction-set flags.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "base/check.h"
#include "base/float_types.h"
#include "kernels/activations.h"

namespace conclave::ref {

inline double Wide(float v) { return static_cast<double>(v); }
inline double Wide(Bf16 v) { return static_cast<double>(ToFloat(v)); }

// sum over i < count of a[i] * b[i]; count is a multiple of 8. Products of floats are exact in
// double; eight partial sums, element i in sum i % 8, are added in a fixed tree, so the order
// depends on count alone. A reference should be nearer to the truth than what it judges: it rounds
// to float once, at the end, in the caller.
template <typename A, typename B>
double Dot(const A* a, const B* b, std::int64_t count) {
  double s0 = 0, s1 = 0, s2 = 0, s3 = 0, s4 = 0, s5 = 0, s6 = 0, s7 = 0;
  for (std::int64_t i = 0; i < count; i += 8) {
    s0 += Wide(a[i]) * Wide(b[i]);
    s1 += Wide(a[i + 1]) * Wide(b[i + 1]);
    s2 += Wide(a[i + 2]) * Wide(b[i + 2]);
    s3 += Wide(a[i + 3]) * Wide(b[i + 3]);
    s4 += Wide(a[i + 4]) * Wide(b[i + 4]);
    s5 += Wide(a[i + 5]) * Wide(b[i + 5]);
    s6 += Wide(a[i + 6]) * Wide(b[i + 6]);
    s7 += Wide(a[i + 7]) * Wide(b[i + 7]);
  }
  return ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7));
}

// The dot product of one activation row (padded, either type) with a padded float row.
inline double DotRow(const std::byte* row, DType dtype, const float* weights, std::int64_t padded) {
  if (dtype == DType::kBf16) return Dot(reinterpret_cast<const Bf16*>(row), weights, padded);
  return Dot(reinterpret_cast<const float*>(row), weights, padded);
}

inline float LoadActivation(const std::byte* row, DType dtype, std::int64_t i) {
  if (dtype == DType::kBf16) return ToFloat(reinterpret_cast<const Bf16*>(row)[i]);
  return reinterpret_cast<const float*>(row)[i];
}

inline void StoreActivation(std::byte* row, DType dtype, std::int64_t i, float value) {
  if (dtype == DType::kBf16) {
    reinterpret_cast<Bf16*>(row)[i] = ToBf16(value);
  } else {
    reinterpret_cast<float*>(row)[i] = value;
  }
}

// Zeros the elements from cols on, as activations.h promises.
inline void ZeroPadding(std::byte* row, DType dtype, std::int64_t cols) {
  const auto begin = static_cast<std::size_t>(cols) * BytesOf(dtype);
  const auto end = static_cast<std::size_t>(ActivationRowBytes(cols, dtype));
  std::memset(row + begin, 0, end - begin);
}

// The activation types the reference reads and writes: its own, and those of a set with holes.
inline void CheckActivations(const Activations& a) {
  CONCLAVE_CHECK(a.dtype != DType::kF16, "activations are f32 or bf16");
  CONCLAVE_CHECK(a.stride_bytes >= ActivationRowBytes(a.cols, a.dtype), "stride %lld",
                 static_cast<long long>(a.stride_bytes));
}

// This thread's contiguous share of 0..total-1.
struct Share {
  std::int64_t begin;
  std::int64_t end;
};
inline Share ShareOf(std::int64_t total, int index, int count) {
  const std::int64_t each = (total + count - 1) / count;
  const std::int64_t begin = std::min(total, each * index);
  return {begin, std::min(total, begin + each)};
}

}  // namespace conclave::ref
