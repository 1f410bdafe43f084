// The clients of the simulated world: what they ask, when, how they behave, and what they have
// read.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "coordinator/events.h"
#include "sim/dice.h"
#include "sim/options.h"
#include "sim/toy.h"

namespace conclave::sim {

// One request, planned before the world begins.
struct ClientPlan {
  Micros at = 0;
  ClientAsk ask;
  std::string refused_field;           // not empty: the ask is wrong, and this names it
  std::optional<Micros> leaves_after;  // this long after its request, if that has not ended
  std::optional<int> leaves_at_token;  // when it has read this many tokens
  bool aborts = false;                 // leaving: by a call of Abort, not by hanging up
  bool twice = false;                  // asks again under the same name while this one lives
  bool imposter = false;               // has the name of another, and asks for something else
  std::optional<int> loses_at_token;   // its stream is cut there; it asks for the rest
  Micros reads_every = 0;              // how long it takes to read one part
};

// Rising time.
std::vector<ClientPlan> PlanClients(const SimOptions& options, const Toy& toy, Dice& dice);

// A client as it goes: one request, over one stream or several.
struct Client {
  const ClientPlan* plan = nullptr;
  RequestId request;          // as the coordinator knows its newest stream
  bool connected = false;     // that stream is there
  int streams = 0;            // so far
  Micros asked = 0;           // first
  Micros asked_last = 0;      // on the newest stream
  Micros progress = 0;        // when it was last sent something
  bool name_taken = false;    // a live request that asks for something else had its name then
  bool rivalled = false;      // another has asked under its name: it may have been replaced
  bool attached = false;      // it has taken a live request over, or was taken for one
  bool aborted = false;       // someone has aborted its name
  std::size_t live_then = 0;  // requests that lived when it asked last
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
