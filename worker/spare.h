// How many experts a worker may have to load at once when another worker is lost.
#pragma once

#include <cstddef>

#include "base/ids.h"
#include "protocol/placement.h"

namespace conclave {

// Over all layers: the share of `slot` in the experts that would have no owner if one other worker
// were lost, for the worst such worker. They are divided evenly among the remaining owners. 0 when
// no other worker owns any, or every expert has two owners.
std::size_t ExpertsToSpareFor(const Placement& placement, Slot slot);

}  // namespace conclave
