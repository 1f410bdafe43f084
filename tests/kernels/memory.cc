#include "tests/kernels/memory.h"

#include <cstring>

#include "absl/strings/str_cat.h"

namespace conclave::conformance {
namespace {

constexpr std::int64_t kGuardBytes = 256;

void Poison(std::span<std::byte> bytes) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::byte>(i % 2 == 0 ? kPoison16 & 0xff : kPoison16 >> 8);
  }
}

}  // namespace

void* Memory::Rows(Layout layout) {
  const std::int64_t size = 2 * kGuardBytes + layout.offset + layout.rows * layout.stride_bytes;
  Block& block = blocks_.emplace_back();
  block.bytes = AlignedBytes(static_cast<std::size_t>(size));
  Poison({block.bytes.data(), block.bytes.size()});
  layout.offset += kGuardBytes;
  block.layout = std::move(layout);
  return block.bytes.data() + block.layout.offset;
}

Activations Memory::ActivationRows(std::string name, Use use, DType dtype, std::int64_t rows,
                                   std::int64_t cols) {
  const std::int64_t row_bytes = ActivationRowBytes(cols, dtype);
  const std::int64_t stride = row_bytes + 64 * shift_;
  void* data = Rows({.name = std::move(name),
                     .use = use,
                     .rows = rows,
                     .row_bytes = row_bytes,
                     .stride_bytes = stride,
                     .offset = 0});
  blocks_.back().activations = {static_cast<std::byte*>(data), dtype, rows, cols, stride};
  return blocks_.back().activations;
}

std::byte* Memory::Bytes(std::string name, Use use, std::size_t bytes, bool loose) {
  const auto size = static_cast<std::int64_t>(bytes);
  return static_cast<std::byte*>(Rows({.name = std::move(name),
                                       .use = use,
                                       .rows = 1,
                                       .row_bytes = size,
                                       .stride_bytes = size,
                                       .offset = loose ? shift_ : 0}));
}

std::string Memory::CheckPoison(const Block& block) {
  const Layout& layout = block.layout;
  for (std::size_t i = 0; i < block.bytes.size(); ++i) {
    const std::int64_t at = static_cast<std::int64_t>(i) - layout.offset;
    const bool inside = at >= 0 && layout.stride_bytes > 0 &&
                        at / layout.stride_bytes < layout.rows &&
                        at % layout.stride_bytes < layout.row_bytes;
    if (inside) continue;
    const int poison = i % 2 == 0 ? kPoison16 & 0xff : kPoison16 >> 8;
    if (block.bytes.data()[i] != static_cast<std::byte>(poison)) {
      return absl::StrCat(layout.name, ": written outside before the call, byte ", at);
    }
  }
  return "";
}

void Memory::Seal() {
  for (Block& block : blocks_) {
    if (spilled_.empty()) spilled_ = CheckPoison(block);
    block.before.assign(block.bytes.data(), block.bytes.data() + block.bytes.size());
  }
}

std::string Memory::CheckBlock(const Block& block) {
  const Layout& layout = block.layout;
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(block.before.size()); ++i) {
    const std::byte now = block.bytes.data()[i];
    if (now == block.before[static_cast<std::size_t>(i)]) continue;
    const std::int64_t at = i - layout.offset;
    const bool inside = at >= 0 && layout.stride_bytes > 0 &&
                        at / layout.stride_bytes < layout.rows &&
                        at % layout.stride_bytes < layout.row_bytes;
    if (inside && layout.use != Use::kIn) continue;
    return absl::StrCat(layout.name, ": ", inside ? "input changed" : "written outside",
                        " at byte ", at, " (row ",
                        layout.stride_bytes > 0 ? at / layout.stride_bytes : 0, ")");
  }
  return layout.use == Use::kOut ? CheckWritten(block) : "";
}

std::string Memory::CheckWritten(const Block& block) {
  const Layout& layout = block.layout;
  const auto unit = static_cast<std::int64_t>(
      block.activations.dtype == DType::kBf16 ? sizeof(kPoison16) : sizeof(kPoison32));
  for (std::int64_t r = 0; r < layout.rows; ++r) {
    const std::byte* row = block.bytes.data() + layout.offset + r * layout.stride_bytes;
    for (std::int64_t i = 0; i + unit <= layout.row_bytes; i += unit) {
      if (std::memcmp(row + i, &kPoison32, static_cast<std::size_t>(unit)) == 0) {
        return absl::StrCat(layout.name, ": not written, row ", r, " element ", i / unit);
      }
    }
    if (block.activations.data == nullptr) continue;
    const std::int64_t used =
        block.activations.cols * static_cast<std::int64_t>(BytesOf(block.activations.dtype));
    for (std::int64_t i = used; i < layout.row_bytes; ++i) {
      if (row[i] != std::byte{0}) return absl::StrCat(layout.name, ": padding not zero, row ", r);
    }
  }
  return "";
}

std::string Memory::Check() const {
  if (!spilled_.empty()) return spilled_;
  for (const Block& block : blocks_) {
    std::string wrong = CheckBlock(block);
    if (!wrong.empty()) return wrong;
  }
  return "";
}

}  // namespace conclave::conformance
