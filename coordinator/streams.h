// From sampled tokens to what the client reads, and the one ending of each request.
#pragma once

#include "coordinator/state.h"

namespace conclave {

// One more token of `request`: its text, stop rules, and the part that the client gets, which is
// nothing while it has these tokens from an earlier stream. Ends the request (and destroys it) when
// a rule says so.
struct Emission {
  Micros now;
  const SampledToken& sampled;
};
void Emit(CoordinatorState& state, Request& request, const Emission& emission,
          CoordinatorOutbox& outbox);

// Ends a request for a reason that is not its text: cancelled, deadline, refused, unavailable.
// What was held back is flushed, unless the stream may be resumed: then it comes in its place. The
// request is destroyed.
void EndRequest(CoordinatorState& state, Request& request, Micros now, Ending ending,
                CoordinatorOutbox& outbox);

// An ending for someone who never became a request.
void Refuse(CoordinatorState& state, RequestId request, Ending ending, CoordinatorOutbox& outbox);

}  // namespace conclave
