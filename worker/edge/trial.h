// Tries the links of a staged epoch: opens it and swaps one empty frame with every peer.
#pragma once

#include "exchange/exchange.h"
#include "worker/core.h"

namespace conclave {

// On success the backend is open, one exchange of the epoch is done, and the next standby endpoint is
// made. Otherwise `unreachable` has the peers whose frame did not arrive, or the peer to which no
// link could be opened; it is empty when the failure is not a peer's.
ConnectedAside TryEpoch(ExchangeBackend& backend, const EpochView& view, Micros limit);

}  // namespace conclave
