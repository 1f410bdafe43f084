// The trial of an epoch's links: opens it and swaps one empty frame with every peer.
#pragma once

#include "exchange/exchange.h"
#include "worker/core.h"

namespace conclave {

// On success the backend is open, one exchange of the epoch is done, and its next standby endpoint
// is made. Otherwise `unreachable` has the peers that were not heard, or the one that could not be
// opened, when it is a peer's fault.
ConnectedAside TryEpoch(ExchangeBackend& backend, const EpochView& view, Micros limit);

}  // namespace conclave
