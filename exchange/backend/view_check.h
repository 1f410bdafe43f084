// What every backend asks of its caller, checked the same way in each.
#pragma once

#include <span>

#include "absl/status/status.h"
#include "exchange/exchange.h"

namespace conclave {

// InvalidArgument unless the peers are in rising slot order, in range, and include self exactly
// once.
absl::Status CheckView(const EpochView& view);

// InvalidArgument unless there is exactly one frame for every peer but self, in rising slot order.
absl::Status CheckSends(const EpochView& view, std::span<const OutFrame> sends);

}  // namespace conclave
