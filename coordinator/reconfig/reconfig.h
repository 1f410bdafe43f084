// How the cluster's membership changes: one state machine, and everything it remembers.
//
//              ProposeAtOnce             all Ready: CommitEpoch
//   Gathering ---------------> Preparing ----------------------> Serving
//       ^                        |   ^                            |   |
//       |  the workers that are  |   |  a member is lost, or a    |   |  a planned change is staged:
//       +------ left do not -----+   +-- step stays broken: ------+   |  loading -> connecting ->
//               suffice                  ProposeAtOnce            |   |  moving -> stopping
//                                    ^                            |   |
//                                    +----- PrepareStaged --------+---+
//
// Events only record facts here and in Membership. After each event AdvanceReconfig (advance.h)
// asks Decide (decide.h) which transition follows, carries it out, and asks again until there is
// nothing left to do. Each transition has a file of its own and calls no other transition.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/slot_set.h"
#include "coordinator/cluster_status.h"
#include "coordinator/events.h"
#include "protocol/control.h"
#include "protocol/placement.h"

namespace conclave {

struct ChangeCause {
  ChangeKind kind = ChangeKind::kStart;
  std::string text;  // for people
};

// No epoch can be made of the workers that are here; Reconfig::not_ready_because says why.
struct Gathering {
  // Nobody came for a long time, and an epoch of fewer workers than wanted was tried in vain. It is
  // tried again when somebody has come.
  bool tried_with_fewer_workers = false;
};

// Prepare has been sent and no step is planned until all its receivers have answered.
struct Preparing {
  enum class Answer : std::uint8_t { kPending, kReady, kFailed };
  struct Member {
    LinkId link;
    std::string address;  // as `prepare` names it
    Answer answer = Answer::kPending;
  };
  Prepare prepare;
  std::vector<Member> members;  // rising worker id: one for each of prepare.peers
  Micros sent_at = 0;
  bool staged = false;  // loaded and connected before it was sent: nothing is left but to switch
};

// A planned change that is loaded and connected while the committed epoch goes on serving
// (docs/decisions/0007-change-over.md).
struct StagedReconfiguration {
  enum class Stage : std::uint8_t {
    kLoading,     // until all have said Loaded
    kConnecting,  // until all have said Connected
    kMoving,      // until no sequence is left on a worker that leaves
    kStopping,    // nothing new is planned; until the steps under way have ended
  };
  struct Member {
    LinkId link;
    Slot slot;
    bool newcomer = false;
    bool answered = false;  // in this stage
    std::string address;    // of the endpoint for this epoch, as Loaded said
    std::string error;      // why it could not load, or not connect
    SlotSet unreachable;    // whom it could not hear, as Connected said
  };
  Epoch epoch;
  Placement placement;
  ChangeCause cause;
  Stage stage = Stage::kLoading;
  Micros stage_since = 0;
  std::vector<Member> members;  // of the next epoch, rising worker id

  void Enter(Stage next, Micros now);
  Member* MemberOf(LinkId link);  // null: it takes no part
  bool Includes(Slot slot) const;
};

// A step of the committed epoch failed. For a short while the news may come of who is gone; then
// the epoch is made again with the same members.
struct BrokenStep {
  Micros since = 0;
  std::string why;      // the first report
  SlotSet reported_by;  // when all have reported it, there is no news to wait for
};

// Members are silent, and the others load the experts that they would have to own without them.
struct PreloadedForLoss {
  SlotSet silent;
  std::vector<LinkId> told;  // workers that load
};

struct Serving {
  std::optional<StagedReconfiguration> staged;  // ends what was preloaded
  std::optional<PreloadedForLoss> preloaded;
  std::optional<BrokenStep> broken;
};

// Which of the workers that want to leave may go now.
struct DrainDecision {
  std::vector<LinkId> allowed;
  std::vector<std::pair<LinkId, std::string>> blocked;  // and why
  std::int64_t blocks_short = 0;  // KV blocks of a request that keeps a worker here; 0: none does
};

struct Reconfig {
  std::variant<Gathering, Preparing, Serving> state;

  // ---- facts that events record and the next decision consumes
  // The committed epoch cannot run another step, or the one being prepared cannot begin.
  std::optional<ChangeCause> forced;
  // Somebody came, went, or wants to leave: a planned change is to be considered.
  bool change_due = false;

  // ---- proposals
  std::uint32_t term = 1;         // of this process's epochs; see TakeTermAbove
  std::uint32_t highest_number = 0;  // of any epoch that anybody has heard of
  Epoch highest_proposed;         // by this process
  Placement proposed_placement;   // what workers may have begun to load
  int attempts_without_commit = 0;
  bool placement_is_repair = false;  // made in a hurry after a loss; to be spread evenly again
  bool rebalance_wanted = false;     // experts are to be placed anew by load: see rebalance.h
  Micros rebalance_considered_at = 0;  // unasked
  bool experts_lost = false;  // an expert has had no live owner since the epoch was committed

  // ---- the change that is due or under way
  ChangeCause cause;                    // or of what keeps the cluster from serving
  std::optional<Micros> change_since;   // unset: no change is due or under way
  std::optional<Micros> stopped_since;  // when planning stopped; unset: it has not
  std::optional<Micros> unready_since;  // no epoch could be made since then
  std::string not_ready_because = "waiting for workers";
  Micros last_join_at = 0;
  SlotSet silent_members;  // at the last tick: nothing was heard of them for half the limit
  int consecutive_failed_steps = 0;

  // ---- a planned change that was given up
  Micros retry_at = 0;     // it is not tried again before
  Micros retry_pause = 0;  // the last pause
  std::string given_up;    // why; empty again after the next planned change

  // ---- drains; see DecideDrains. The version rises with every change of its inputs.
  DrainDecision drains;
  std::uint64_t drain_inputs_version = 1;
  std::uint64_t drains_decided_for = 0;
  bool drains_held_back = false;  // decided while no change could be tried

  // ---- what happened so far
  std::string last_epoch_cause;
  Micros last_epoch_micros = 0;
  std::vector<EpochChange> recent;  // the last kRecentChangesMax
  std::array<std::uint64_t, std::size(kChangeKindNames)> changes{};
  EpochPauses pauses;

  // ---- what the rest of the coordinator asks
  bool serving() const { return std::holds_alternative<Serving>(state); }
  bool gathering() const { return std::holds_alternative<Gathering>(state); }
  bool preparing() const { return std::holds_alternative<Preparing>(state); }
  // Whether a step may be planned now.
  bool MayPlan() const;
  void StepFinished() { consecutive_failed_steps = 0; }

  // ---- for the transitions
  Serving* serving_state() { return std::get_if<Serving>(&state); }
  const Serving* serving_state() const { return std::get_if<Serving>(&state); }
  Preparing* preparing_state() { return std::get_if<Preparing>(&state); }
  const Preparing* preparing_state() const { return std::get_if<Preparing>(&state); }
  StagedReconfiguration* staged();  // null: no planned change is being made
  const StagedReconfiguration* staged() const;

  // Records that members, newcomers or wishes to leave are not what they were.
  void NoteMembersChanged(Micros now);
  // Records that a new epoch is needed at once. A loss explains more than anything else does.
  void ForceChange(ChangeCause why);
  // Forgets what was staged; a change is considered anew. Workers drop it at their next Load or
  // Prepare. Planning goes on if only the staged change had stopped it.
  void DiscardStaged();
  // A worker has heard of this epoch. If another coordinator process made it, an earlier one or one
  // that is still alive, the epochs proposed from now on are of a higher term. True: they are.
  bool TakeTermAbove(Epoch heard);
  // The epoch to propose now: above every one that anybody has heard of.
  Epoch NextEpoch();
};

}  // namespace conclave
