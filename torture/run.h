// One torture from start to end.
#pragma once

#include "absl/status/statusor.h"
#include "torture/options.h"
#include "torture/report.h"

namespace conclave::torture {

// From the main thread, before the process has others. Cancelled when interrupted; other errors:
// it could not even begin.
absl::StatusOr<Report> RunTorture(const TortureOptions& options);

}  // namespace conclave::torture
