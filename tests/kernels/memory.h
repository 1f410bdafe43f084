// The memory of one kernel call, laid out so that a mistake shows: every array lies between guard
// bands, at a chosen misalignment, rows apart from one another, and all of it is poisoned first.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/views.h"
#include "kernels/activations.h"
#include "kernels/aligned_bytes.h"

namespace conclave::conformance {

// Signalling NaN as float, bf16 and f16; no expert's id; no token's.
inline constexpr std::uint16_t kPoison16 = 0x7fa5;
inline constexpr std::uint32_t kPoison32 = 0x7fa57fa5;

enum class Use : std::uint8_t {
  kIn,     // must not change
  kOut,    // every element must be written
  kInOut,  // may change
};

class Memory {
 public:
  // shift: by how many elements arrays are off their natural boundary, where the contract allows.
  explicit Memory(int shift) : shift_(shift) {}

  template <typename T>
  MatrixView<T> Matrix(std::string name, Use use, std::int64_t rows, std::int64_t cols) {
    const std::int64_t stride = cols + (shift_ == 0 ? 0 : shift_ + 2);
    return {static_cast<T*>(Rows({.name = std::move(name),
                                  .use = use,
                                  .rows = rows,
                                  .row_bytes = cols * static_cast<std::int64_t>(sizeof(T)),
                                  .stride_bytes = stride * static_cast<std::int64_t>(sizeof(T)),
                                  .offset = shift_ * static_cast<std::int64_t>(sizeof(T))})),
            rows, cols, stride};
  }
  template <typename T>
  std::span<T> Array(std::string name, Use use, std::int64_t count) {
    return {Matrix<T>(std::move(name), use, 1, count).data, static_cast<std::size_t>(count)};
  }
  Activations ActivationRows(std::string name, Use use, DType dtype, std::int64_t rows,
                             std::int64_t cols);
  // Bytes on a 64-byte boundary, or, if `loose`, on none at all.
  std::byte* Bytes(std::string name, Use use, std::size_t bytes, bool loose = false);

  void Seal();                // inputs are filled: what must not change is remembered now
  std::string Check() const;  // empty, or what the kernel did to memory that it may not do

 private:
  struct Layout {
    std::string name;
    Use use;
    std::int64_t rows, row_bytes, stride_bytes, offset;
  };
  struct Block {
    Layout layout;
    AlignedBytes bytes;
    std::vector<std::byte> before;
    Activations activations;  // for outputs that end in zero padding
  };
  void* Rows(Layout layout);
  static std::string CheckPoison(const Block& block);
  static std::string CheckBlock(const Block& block);
  static std::string CheckWritten(const Block& block);

  int shift_;
  std::vector<Block> blocks_;
  std::string spilled_;  // what was written outside its place before the call: by packing
};

}  // namespace conclave::conformance
