// How much a worker may have to load at once.
#pragma once

#include <cstddef>

#include "base/ids.h"
#include "protocol/placement.h"

namespace conclave {

// Of all layers together: the share of `slot` in the experts that nobody would hold if one other
// owner were lost, whichever is worst. They are divided evenly among the other owners and `slot`.
// 0: nobody else owns any, or each has two owners.
std::size_t ExpertsToSpareFor(const Placement& placement, Slot slot);

}  // namespace conclave
