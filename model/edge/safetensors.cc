#include "model/edge/safetensors.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "model/edge/safetensors_sax.h"

namespace conclave {
namespace {

struct FileDType {
  absl::string_view name;
  std::uint64_t bytes;
};
constexpr FileDType kFileDTypes[] = {
    {"BF16", 2}, {"F16", 2},  {"F32", 4}, {"F64", 8},     {"I8", 1},
    {"U8", 1},   {"BOOL", 1}, {"I16", 2}, {"U16", 2},     {"I32", 4},
    {"U32", 4},  {"I64", 8},  {"U64", 8}, {"F8_E4M3", 1}, {"F8_E5M2", 1},
};

template <typename... Parts>
absl::Status Bad(const StatedTensor& tensor, const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat("tensor ", tensor.name, ": ", parts...));
}

// Bytes of a tensor of this shape; nothing when the product leaves 63 bits.
std::optional<std::uint64_t> SizeOf(std::span<const std::int64_t> shape,
                                    std::uint64_t element_bytes) {
  auto size = static_cast<std::int64_t>(element_bytes);
  bool overflow = false;
  for (const std::int64_t extent : shape) overflow |= __builtin_mul_overflow(size, extent, &size);
  if (overflow) return std::nullopt;
  return static_cast<std::uint64_t>(size);
}

// One tensor against its own statement and the data part's size.
absl::StatusOr<FileTensor> Checked(StatedTensor& stated, std::uint64_t data_begin,
                                   std::uint64_t data_bytes) {
  const auto dtype =
      std::find_if(std::begin(kFileDTypes), std::end(kFileDTypes),
                   [&](const FileDType& known) { return known.name == stated.dtype; });
  if (dtype == std::end(kFileDTypes)) {
    return Bad(stated, "dtype \"", stated.dtype.substr(0, 20),
               "\" is not known; expected BF16, F16 or F32");
  }
  const std::optional<std::uint64_t> size = SizeOf(stated.shape, dtype->bytes);
  if (!size.has_value()) return Bad(stated, "shape ", ShapeText(stated.shape), " is too large");
  const std::uint64_t begin = stated.offsets[0], end = stated.offsets[1];
  if (begin > end) return Bad(stated, "data_offsets run backwards: ", begin, " to ", end);
  if (end - begin != *size) {
    return Bad(stated, "data_offsets span ", end - begin, " bytes; shape ", ShapeText(stated.shape),
               " of ", dtype->name, " needs ", *size);
  }
  if (end > data_bytes) {
    return Bad(stated, "its data ends at byte ", end, " but the file holds ", data_bytes,
               " bytes of tensor data: truncated");
  }
  return FileTensor{std::move(stated.name), dtype->name, std::move(stated.shape),
                    data_begin + begin, data_begin + end};
}

// Sorted by begin, tensors must follow one another without overlap or gap up to the file's end.
absl::Status CheckLayout(const SafetensorsHeader& header, std::uint64_t file_bytes) {
  std::uint64_t at = header.bytes;
  const FileTensor* previous = nullptr;
  for (const FileTensor& tensor : header.tensors) {
    if (tensor.begin < at) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", tensor.name, " overlaps tensor ", previous->name));
    }
    if (tensor.begin > at) {
      return absl::InvalidArgumentError(absl::StrCat("tensor ", tensor.name, ": a gap of ",
                                                     tensor.begin - at,
                                                     " bytes before its data; expected none"));
    }
    at = tensor.end;
    previous = &tensor;
  }
  if (at == file_bytes) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the file has ", file_bytes, " bytes; its header accounts for ", at));
}

absl::Status CheckNames(const std::vector<FileTensor>& tensors) {
  std::vector<absl::string_view> names;
  names.reserve(tensors.size());
  for (const FileTensor& tensor : tensors) names.push_back(tensor.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice == names.end()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("tensor ", *twice, " is there twice"));
}

absl::StatusOr<absl::string_view> JsonPart(std::span<const std::byte> file) {
  std::uint64_t size = 0;
  if (file.size() < sizeof size) {
    return absl::InvalidArgumentError(
        absl::StrCat("the file has ", file.size(),
                     " bytes; a safetensors file starts with 8 bytes of header size"));
  }
  std::memcpy(&size, file.data(), sizeof size);
  if (size > kHeaderBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("header size ", size, " exceeds ",
                                                   kHeaderBytesMax, ": not a safetensors file?"));
  }
  if (size > file.size() - sizeof size) {
    return absl::InvalidArgumentError(absl::StrCat("truncated: the header alone needs ", size,
                                                   " bytes, the file has ", file.size()));
  }
  const absl::string_view json(reinterpret_cast<const char*>(file.data()) + sizeof size, size);
  if (json.empty() || json.front() != '{')
    return absl::InvalidArgumentError("the header does not start with '{'");
  return json;
}

}  // namespace

std::string ShapeText(std::span<const std::int64_t> shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

absl::StatusOr<SafetensorsHeader> ParseSafetensors(std::span<const std::byte> file) {
  ASSIGN_OR_RETURN(const absl::string_view json, JsonPart(file));
  std::vector<StatedTensor> stated;
  RETURN_IF_ERROR(ReadStatedTensors(json, stated));
  SafetensorsHeader header;
  header.bytes = sizeof(std::uint64_t) + json.size();
  header.tensors.reserve(stated.size());
  for (StatedTensor& tensor : stated) {
    ASSIGN_OR_RETURN(FileTensor checked, Checked(tensor, header.bytes, file.size() - header.bytes));
    header.tensors.push_back(std::move(checked));
  }
  RETURN_IF_ERROR(CheckNames(header.tensors));
  // Empty tensors share their begin with a neighbour: they sort first, so that order by end settles
  // it.
  std::sort(header.tensors.begin(), header.tensors.end(),
            [](const FileTensor& a, const FileTensor& b) {
              return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
            });
  RETURN_IF_ERROR(CheckLayout(header, file.size()));
  return header;
}

}  // namespace conclave
