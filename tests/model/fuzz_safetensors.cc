#include "tests/model/fuzz_safetensors.h"

#include <set>
#include <span>
#include <string>

#include "base/check.h"
#include "model/edge/safetensors.h"

namespace conclave {

int FuzzSafetensors(const std::uint8_t* data, std::size_t size) {
  const auto header = ParseSafetensors(std::as_bytes(std::span(data, size)));
  if (!header.ok()) {
    CONCLAVE_CHECK(!header.status().message().empty(), "a refusal without a reason");
    return 0;
  }
  std::uint64_t at = header->bytes;
  std::set<std::string> names;
  for (const FileTensor& tensor : header->tensors) {
    CONCLAVE_CHECK(tensor.begin == at && tensor.end >= tensor.begin && tensor.end <= size,
                   "bounds");
    CONCLAVE_CHECK(names.insert(tensor.name).second, "a duplicate");
    CONCLAVE_CHECK(tensor.shape.size() <= kTensorRankMax && !tensor.dtype.empty(),
                   "shape or dtype");
    at = tensor.end;
  }
  CONCLAVE_CHECK(at == size, "bytes left over");
  return 0;
}

}  // namespace conclave
