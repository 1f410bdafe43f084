// The clients of the simulated world: what they ask, when, how they behave, and what they have
// read.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "coordinator/core.h"
#include "sim/dice.h"
#include "sim/options.h"
#include "sim/toy.h"

namespace conclave::sim {

// One request, planned before the world begins.
struct ClientPlan {
  Micros at = 0;
  ClientAsk ask;
  std::string refused_field;           // not empty: the ask is wrong, and this names it
  std::optional<Micros> leaves_after;  // so long after asking, if it has not ended
  std::optional<int> leaves_at_token;  // when it has read so many
  bool aborts = false;                 // leaving: by a call of Abort, not by hanging up
  bool twice = false;                  // asks again under the same name while this one lives
  Micros reads_every = 0;              // a part takes it so long
};

// Rising time.
std::vector<ClientPlan> PlanClients(const SimOptions& options, const Toy& toy, Dice& dice);

// A client as it goes.
struct Client {
  const ClientPlan* plan = nullptr;
  RequestId request;
  Micros asked = 0;
  bool name_taken = false;    // a live request had its name when it asked
  std::size_t live_then = 0;  // requests that lived when it asked
  std::optional<Micros> left;
  Micros reads_until = 0;

  // Read so far.
  std::vector<TokenId> ids;
  std::string text;
  std::vector<TokenLogprob> logprobs, prompt_logprobs;
  std::vector<std::uint16_t> routed;
  int parts = 0;
  std::optional<Ending> ending;
  Micros ended = 0;
};

}  // namespace conclave::sim
