// From what a client asked for to a request that can run, or to an ending that says why not and
// names the field as the API spells it.
#pragma once

#include <memory>
#include <variant>

#include "coordinator/config.h"
#include "coordinator/events.h"
#include "coordinator/requests.h"
#include "text/text.h"

namespace conclave {

struct AdmissionContext {
  const CoordinatorConfig& config;
  const ServedModel& model;
  const Text* text;  // null: token ids only
  // How full the queue is.
  std::size_t waiting = 0;
  std::int64_t waiting_tokens = 0;
  bool live = false;  // a request of this id lives: this one may take it over, and needs no room
  // Blocks of the largest KV pool of the epoch; 0 when none is committed.
  std::int64_t blocks_max = 0;
};

using Admission = std::variant<std::unique_ptr<Request>, Ending>;
Admission Admit(const ClientAsked& asked, const AdmissionContext& context);

// KV blocks that it may come to need, as far as there were any when it was last seen to fit.
std::int64_t BlocksToTheEnd(const Request& request);

// A request must fit the largest KV pool to its end. One that did not say how long it may get need
// only fit to its next token: its answer is as long as the context leaves, or ends with an error,
// but is never called complete for want of memory. An ending for one that does not fit.
std::optional<Ending> FitToKv(Request& request, std::int64_t blocks_max);

}  // namespace conclave
