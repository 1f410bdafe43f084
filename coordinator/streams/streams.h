// From sampled tokens to the orders for a request's text stage (text_stage.h), and the one ending of
// each request.
#pragma once

#include "coordinator/state.h"

namespace conclave {

// The request was admitted: from here on it has a text stage.
void BeginStream(const Request& request, CoordinatorOutbox& outbox);

// One more token of `request`. Ends the request when the token does so by itself: a stop id, the
// length, or no KV memory for another. The request is destroyed then, or awaits its text stage.
struct Emission {
  Micros now;
  const SampledToken& sampled;
};
void Emit(CoordinatorState& state, Request& request, const Emission& emission,
          CoordinatorOutbox& outbox);

// Ends a request for a reason that is not its text: cancelled, deadline, refused, unavailable. The
// request is destroyed, or awaits its text stage.
void EndRequest(CoordinatorState& state, Request& request, Micros now, Ending ending,
                CoordinatorOutbox& outbox);

// A text stage has found a stop string, or none: the request ends, if it has not.
void TakeVerdict(CoordinatorState& state, const TextJudged& judged, CoordinatorOutbox& outbox);

// An ending for someone who never became a request.
void Refuse(CoordinatorState& state, RequestId stream, Ending ending, CoordinatorOutbox& outbox);

// An ending of a stream whose request goes on without it.
void CountEnding(CoordinatorState& state, End end);

}  // namespace conclave
