// Messages as bytes: protobuf (proto/conclave/cluster/v1). The only file of L1 that sees protobuf
// is codec.cc. Decode refuses what is malformed or out of bounds (base/limits.h) and names the
// field: InvalidArgument.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "protocol/control.h"

namespace conclave {

std::string Encode(const FromWorker& message);
std::string Encode(const ToWorker& message);
absl::StatusOr<FromWorker> DecodeFromWorker(std::string_view bytes);
absl::StatusOr<ToWorker> DecodeToWorker(std::string_view bytes);

}  // namespace conclave
