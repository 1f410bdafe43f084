// Who is to blame when steps stop, judged from heartbeats alone: wedged compute threads and links
// that carry nothing. See docs/decisions/0007-change-over.md. Pure; the core acts on it.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/ids.h"
#include "coordinator/events.h"
#include "protocol/control.h"

namespace conclave {

// One member, as its heartbeats show it.
struct Pulse {
  Slot slot;
  LinkId link;  // higher: joined later
  Heartbeat heartbeat;
  Micros changed = 0;     // since then its heartbeats have said nothing new
  Micros looked = 0;      // since then its thread has not even looked for frames; >= changed
  bool answered = false;  // it has finished the oldest step under way
};

struct SuspectLimits {
  Micros wedge;
  Micros link;
  Epoch epoch;   // that is running; exchanges of others are over
  bool serving;  // no: an epoch is prepared, and whoever is in an exchange should have left it
};

struct Suspect {
  Slot slot;
  std::string why;
};

// From worker `from` to worker `to` nothing arrives.
struct BrokenLink {
  Slot from, to;
  friend bool operator==(const BrokenLink&, const BrokenLink&) = default;
};

// Busy, in no exchange, and no progress for `wedge`: its compute thread stands still. Likewise one in
// an exchange that has not looked for frames for `link`: there a healthy thread does nothing else.
// If nobody makes progress for `link` and someone waits for the frame of a peer that has been in the
// same exchange or is beyond it, the link between them is broken; whoever is on most broken links
// goes, until none is left between those who stay. Of several: the one that joined last.
std::vector<Suspect> JudgePulses(std::span<const Pulse> pulses, const SuspectLimits& limits,
                                 Micros now);

// Of `candidates`, who is on most of these links; of several the one that joined last, then the
// highest slot. Null: none of them is on any.
const Pulse* MostBroken(std::span<const BrokenLink> links, std::span<const Pulse> candidates);
void ForgetLinksOf(Slot slot, std::vector<BrokenLink>& links);

}  // namespace conclave
