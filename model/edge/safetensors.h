// The safetensors container: 8 bytes of little-endian header size, a JSON header, then tensor
// bytes. Everything in the header is checked against hard bounds and against the file's size before
// it is believed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace conclave {

inline constexpr std::uint64_t kHeaderBytesMax = 100'000'000;  // the format's own bound
inline constexpr std::size_t kTensorsPerFileMax = std::size_t{1} << 20;
inline constexpr std::size_t kTensorNameBytesMax = 512;
inline constexpr std::size_t kTensorRankMax = 8;

struct FileTensor {
  std::string name;
  absl::string_view dtype;  // as the format spells it: "BF16", "F32", "I32", ...; static storage
  std::vector<std::int64_t> shape;  // each >= 0
  std::uint64_t begin = 0;          // of the file, not of the data part
  std::uint64_t end = 0;            // end - begin == product of shape times the element's size
};

struct SafetensorsHeader {
  std::vector<FileTensor>
      tensors;              // by begin: back to back, from the header's end to the file's end
  std::uint64_t bytes = 0;  // the size word and the JSON; tensor data starts here
};

// Reads the header of a whole file. InvalidArgument says which tensor is wrong and what was
// expected (the caller prepends the file's name): bad JSON, unknown dtype, duplicate names, sizes
// that disagree with shapes, overlaps, gaps, a file shorter or longer than the header says. Touches
// header bytes only.
absl::StatusOr<SafetensorsHeader> ParseSafetensors(std::span<const std::byte> file);

// "[4, 128]" for messages.
std::string ShapeText(std::span<const std::int64_t> shape);

}  // namespace conclave
