// Workers that are gone, or that are sent away. Each of these removes the worker, gives its
// sequences back to the queue, and records what the loss means for the epoch; Decide does the rest.
#pragma once

#include <string>

#include "coordinator/state.h"

namespace conclave {

// Its control stream has ended.
void LoseWorker(CoordinatorState& state, LinkId link, Micros now, const std::string& reason,
                CoordinatorOutbox& outbox);
// It is sent away; it may come back as a new incarnation.
void DropWorker(CoordinatorState& state, LinkId link, Micros now, const std::string& reason,
                CoordinatorOutbox& outbox);
// It is sent away and told to end, because it would fail again as it is.
void RefuseWorker(CoordinatorState& state, LinkId link, Micros now, const std::string& reason,
                  CoordinatorOutbox& outbox);
// It has nothing left to do here and may end. Does not change the epoch by itself.
void DismissWorker(CoordinatorState& state, LinkId link, CoordinatorOutbox& outbox);

}  // namespace conclave
