// Views of memory that somebody else owns. Nothing here allocates or frees.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace conclave {

// Rows of `cols` elements, `stride` elements apart (stride >= cols).
template <typename T>
struct MatrixView {
  T* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t stride = 0;

  T* row(std::int64_t r) const { return data + r * stride; }
  std::span<T> row_span(std::int64_t r) const { return {row(r), static_cast<std::size_t>(cols)}; }
  MatrixView slice(std::int64_t begin, std::int64_t count) const {
    return {data + begin * stride, count, cols, stride};
  }
  operator MatrixView<const T>() const { return {data, rows, cols, stride}; }
};

}  // namespace conclave
