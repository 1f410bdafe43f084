// Who is there: control links, the slots they were given, what they said of themselves, and when
// they were last heard. Judges; the core acts.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "coordinator/events.h"
#include "protocol/control.h"

namespace conclave {

struct WorkerLink {
  LinkId id;
  Micros arrived = 0;
  Micros heard = 0;      // the last message
  bool greeted = false;  // its Hello was accepted; the fields below count
  Hello hello;
  Slot slot;
  std::string standby_address;   // for the next epoch it takes part in
  bool draining = false;         // wants to leave, or is to
  bool stopping = false;         // it said so itself: its process ends soon, whatever we do
  std::string drain_blocked_by;  // why it cannot leave now; empty: it can
  bool member = false;           // of the committed epoch
  Heartbeat heartbeat;
  Micros changed = 0;  // when its heartbeat last said anything new about steps and exchanges
  Micros looked = 0;   // or that its thread looks for frames
  std::uint64_t expert_bytes = 0;
  Micros loading = 0;  // when it last said that it loads experts
  Micros loaded = 0;   // when it last said so and held more than before
};

class Membership {
 public:
  // False when the link is known already or there is no room for more: drop it.
  bool Arrive(LinkId id, Micros now);
  WorkerLink* Find(LinkId id);  // null: it is gone
  const WorkerLink* Find(LinkId id) const;
  const WorkerLink* AtSlot(Slot slot) const;  // null: nobody
  void Remove(LinkId id);
  const std::map<LinkId, WorkerLink>& links() const { return links_; }
  std::map<LinkId, WorkerLink>& links() { return links_; }

  // Checks who it says it is and gives it the slot it had before, or the lowest one if that is
  // taken. FailedPrecondition says why not.
  absl::StatusOr<Slot> Greet(WorkerLink& link, const Hello& hello, const ModelFacts& facts);
  // Nothing that was computed so far will be continued: other numerics may come.
  void ForgetReference() { reference_.reset(); }

  std::vector<const WorkerLink*> Greeted() const;  // rising slot
  // Links whose silence is too long.
  struct Limits {
    Micros silence;
    Micros hello;
    Micros since = 0;  // silence before does not count
  };
  std::vector<LinkId> Silent(Micros now, const Limits& limits) const;

 private:
  // What all workers must agree on, or one request's bits would depend on where it runs.
  struct Reference {
    std::uint64_t numerics;
    std::string kernels, kv_dtype, exchange;
    std::uint64_t expert_bytes;
  };
  absl::Status CheckHello(const Hello& hello, const ModelFacts& facts) const;
  absl::Status CheckReference(const Hello& hello) const;

  std::map<LinkId, WorkerLink> links_;
  std::optional<Reference> reference_;
};

}  // namespace conclave
