// The JSON part of a safetensors header, read event by event: bounded memory, duplicates seen, no
// tree.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace conclave {

// A tensor as the header states it, nothing checked but types and counts.
struct StatedTensor {
  std::string name;
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::vector<std::uint64_t> offsets;  // into the data part
};

// InvalidArgument names the tensor or the byte.
absl::Status ReadStatedTensors(absl::string_view json, std::vector<StatedTensor>& tensors);

}  // namespace conclave
