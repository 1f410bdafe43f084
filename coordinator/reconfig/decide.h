// What follows from what is known: the one place that says which transition of the membership
// machine comes next. Pure: a view of the state and the time in, the name of a transition out.
#pragma once

#include <cstdint>
#include <optional>

#include "coordinator/reconfig/reconfig.h"

namespace conclave {

// Why a wait may be over: `until` is the time after which it has lasted too long.
struct ReconfigView {
  enum class Phase : std::uint8_t { kGathering, kPreparing, kServing };
  Phase phase = Phase::kGathering;
  bool forced = false;        // see Reconfig::forced
  bool change_due = false;    // see Reconfig::change_due
  Micros retry_at = 0;        // no planned change is tried before
  bool idle_leavers = false;  // workers whose process ends anyway, and nothing is left to run

  // Gathering: then fewer workers than wanted are enough; unset: that was tried.
  std::optional<Micros> fewer_workers_at;

  // Preparing.
  int answers_missing = 0;
  int answers_failed = 0;
  bool prepared_staged = false;
  std::optional<Micros> late_until;  // of the first receiver that will be late; unset: none waits

  // Serving.
  bool steps_in_flight = false;
  bool broken = false;
  bool broken_reported_by_all = false;
  Micros broken_until = 0;
  std::optional<StagedReconfiguration::Stage> stage;  // unset: nothing is staged
  int stage_answers_missing = 0;
  bool stage_failed = false;      // a member could not load
  Micros stage_until = 0;         // loading, connecting: of the first that will be late
  bool sequences_to_move = false;  // moving
};

enum class Transition : std::uint8_t {
  kNone,
  kProposeAtOnce,      // -> Preparing, or Gathering when the workers that are here do not suffice
  kDismissIdle,        // workers that end anyway go, even if the others cannot serve without them
  kDropLate,           // those that have not answered Prepare in time
  kCommit,             // -> Serving
  kAbandonPrepared,    // a staged epoch could not be prepared: propose one at once, retry later
  kReformAfterBreak,   // a broken step: nobody turned out to be gone
  kConsiderChange,     // stage a planned change, if one is needed and possible
  kJudgeLoads,         // a member could not load its experts, or not in time
  kConnect,            // all have loaded
  kJudgeConnections,   // all have tried to connect, or had time enough
  kStopPlanning,       // nothing is left to move
  kPrepareStaged,      // -> Preparing
};

// `now` is the time of the last tick, not of the event: after a pause of this process the messages
// that waited in its queue are heard before anybody is found late.
Transition Decide(const ReconfigView& view, Micros now);

}  // namespace conclave
