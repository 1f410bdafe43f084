#include <algorithm>
#include <cstring>
#include <span>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "model/edge/checkpoint.h"

namespace conclave {
namespace {

constexpr std::size_t kChunkBytes = std::size_t{4} << 20;

// NaN and infinity have an exponent of all ones: adding the exponent's lowest bit to the exponent
// alone then carries into the sign's place, and nowhere else. Eight bytes at a time.
struct Masks {
  std::uint64_t exponent;
  std::uint64_t lowest;
  std::uint64_t sign;
};

Masks MasksOf(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return {0x7f8000007f800000u, 0x0080000000800000u, 0x8000000080000000u};
    case DType::kBf16:
      return {0x7f807f807f807f80u, 0x0080008000800080u, 0x8000800080008000u};
    case DType::kF16:
      return {0x7c007c007c007c00u, 0x0400040004000400u, 0x8000800080008000u};
  }
  return {};
}

bool AllFinite(DType dtype, std::span<const std::byte> bytes) {
  const Masks masks = MasksOf(dtype);
  std::uint64_t carries = 0;
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    std::uint64_t word;
    std::memcpy(&word, bytes.data() + at, sizeof word);
    carries |= (word & masks.exponent) + masks.lowest;
  }
  std::uint64_t tail = 0;
  std::memcpy(&tail, bytes.data() + at, bytes.size() - at);
  carries |= (tail & masks.exponent) + masks.lowest;
  return (carries & masks.sign) == 0;
}

// Which element of a chunk that is not all finite.
std::size_t FirstBad(DType dtype, std::span<const std::byte> bytes) {
  const std::size_t width = BytesOf(dtype);
  std::size_t i = 0;
  while (i * width < bytes.size() && AllFinite(dtype, bytes.subspan(i * width, width))) ++i;
  return i;
}

absl::Status Infinite(const TensorSpec& spec, const TensorView& view, std::size_t element) {
  const auto cols = static_cast<std::size_t>(view.cols);
  return absl::DataLossError(absl::StrCat("tensor ", spec.name, ": NaN or infinity at row ",
                                          element / cols, ", column ", element % cols,
                                          "; expected finite values"));
}

}  // namespace

absl::Status VerifyCheckpoint(const Checkpoint& checkpoint, const Progress& progress) {
  std::uint64_t done = 0;
  for (const TensorSpec& spec : TensorsOf(checkpoint.config)) {
    ASSIGN_OR_RETURN(const TensorView view, checkpoint.tensors->Find(spec.name));
    const std::span<const std::byte> bytes(view.data, view.bytes());
    for (std::size_t at = 0; at < bytes.size(); at += kChunkBytes) {
      const std::span<const std::byte> chunk =
          bytes.subspan(at, std::min(kChunkBytes, bytes.size() - at));
      checkpoint.tensors->Prefetch(bytes.subspan(at, std::min(4 * kChunkBytes, bytes.size() - at)));
      if (!AllFinite(view.dtype, chunk)) {
        return Infinite(spec, view, at / BytesOf(view.dtype) + FirstBad(view.dtype, chunk));
      }
      checkpoint.tensors->Release(
          chunk);  // read once: a model larger than memory must not crowd it
      done += chunk.size();
      if (progress) progress(done, checkpoint.bytes);
    }
  }
  return absl::OkStatus();
}

}  // namespace conclave
