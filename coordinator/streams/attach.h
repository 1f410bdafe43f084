// A stream that takes a live request over: it reads from where it stands, and the request, wherever
// it runs, does not notice.
#pragma once

#include "coordinator/state.h"

namespace conclave {

// `again`, just admitted, has the name of `live`. When it asks for the same bits, it becomes the
// reader: what it lacks of the answer so far is said again, then it reads on; the old stream ends
// with kReplaced, and the deadline is the new one's. Else `again` is refused.
void Attach(CoordinatorState& state, Request& live, const Request& again,
            CoordinatorOutbox& outbox);

}  // namespace conclave
