// What coordinator and worker say to each other besides steps: joining, epochs, heartbeats.
//
//   worker -> Hello; coordinator -> Welcome
//   coordinator -> Prepare(e, view, placement); worker drops the old epoch, loads what it lacks,
//   opens e -> LoadProgress while it loads, Ready
//   coordinator -> Commit(e, first step); from then on StepAsk of epoch e
// Between epochs a worker keeps its sequences, their tokens, block tables, K and V: exactly as the
// last step it finished left them. A step that it did not finish leaves no trace (the coordinator
// plans its closes, opens and chunks anew), and plans it had not begun are forgotten at Prepare.
// The results of finished steps precede Ready on the stream; the newest Prepare always gets a
// Ready. Anything of an epoch lower than the current one is refused on both sides.
//
// A change that can be foreseen (join, drain, rebalance) is made ready beside the running epoch,
// and steps go on meanwhile (docs/decisions/0007-change-over.md):
//   coordinator -> Load(e, placement); worker loads in the background what it lacks, drops nothing,
//   makes a fresh endpoint for e -> LoadProgress now and then, Loaded(e, address)
//   coordinator -> Connect(e, peers); worker opens e on that endpoint and swaps one empty frame
//   with every peer -> Connected(e, who could not be heard) coordinator -> Prepare(e) with the same
//   peers and placement: the endpoint takes over at once.
// A Prepare of any other epoch, or a newer Load, drops what was made ready for e. An epoch number
// that was used for Load is not used again for anything else.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/slot_set.h"
#include "protocol/placement.h"
#include "protocol/plan.h"

namespace conclave {

inline constexpr std::uint32_t kWireVersion = 4;

enum class Role : std::uint8_t { kWorker, kExpert };  // kExpert: owns experts only, no sequences

// What the model asks of coordinator and workers alike.
struct ModelFacts {
  std::uint64_t identity = 0;  // Checkpoint::identity
  std::string name;
  std::int32_t vocab = 0;
  std::int32_t context = 0;
  std::int32_t moe_layers = 0;
  std::int32_t experts = 0;
  std::int32_t topk = 0;
  std::uint64_t expert_bytes = 0;  // one expert of one layer, as packed
  friend bool operator==(const ModelFacts&, const ModelFacts&) = default;
};

struct Hello {
  std::uint32_t wire_version = kWireVersion;
  std::string uuid;  // of this incarnation
  Role role = Role::kWorker;
  std::string address;  // for people: host:pid
  ModelFacts model;
  std::uint64_t numerics = 0;  // NumericsFingerprint
  std::string kernels;         // name of the kernel set
  std::string kv_dtype;
  std::string exchange;                   // name of the backend
  std::string standby_address;            // see exchange/exchange.h
  std::int32_t kv_blocks = 0;             // 0 for role expert
  std::int32_t rows_max = 0;              // rows of its own per step
  std::int32_t arrivals_max = 0;          // rows it can take in one exchange, over all sources
  std::uint64_t expert_memory_bytes = 0;  // room for experts; 0: no limit known
  std::int32_t threads = 0;
  // What this process was in its last incarnation, if it had one: the coordinator's epochs stay
  // above `last_epoch` though it was started anew, and gives `last_slot` again, because the experts
  // of that slot are still in memory.
  Epoch last_epoch;             // the highest it ever heard of; 0: none
  std::int32_t last_slot = -1;  // -1: none
  friend bool operator==(const Hello&, const Hello&) = default;
};

struct Welcome {
  Slot slot;
  std::int64_t heartbeat_micros = 100'000;
  friend bool operator==(const Welcome&, const Welcome&) = default;
};

struct ViewPeer {
  Slot slot;
  std::string uuid;
  std::string address;  // standby address
  friend bool operator==(const ViewPeer&, const ViewPeer&) = default;
};

struct Prepare {
  Epoch epoch;
  std::vector<ViewPeer> peers;  // rising slot, the receiver included
  Placement placement;
  friend bool operator==(const Prepare&, const Prepare&) = default;
};

struct Ready {
  Epoch epoch;
  bool ok = true;
  std::string error;  // why not
  StepId last_step_done;
  std::string standby_address;     // for the epoch after this one
  std::uint64_t expert_bytes = 0;  // loaded now
  friend bool operator==(const Ready&, const Ready&) = default;
};

struct Commit {
  Epoch epoch;
  StepId first_step;
  friend bool operator==(const Commit&, const Commit&) = default;
};

// See docs/decisions/0007-change-over.md.
struct Load {
  Epoch epoch;  // the one being made ready
  Slot slot;    // the receiver's
  Placement placement;
  friend bool operator==(const Load&, const Load&) = default;
};

struct Loaded {
  Epoch epoch;
  bool ok = true;
  std::string error;    // why not
  std::string address;  // a fresh endpoint, for this epoch only
  std::uint64_t expert_bytes = 0;
  friend bool operator==(const Loaded&, const Loaded&) = default;
};

struct Connect {
  Epoch epoch;
  std::vector<ViewPeer> peers;  // rising slot, the receiver included; what Loaded said
  friend bool operator==(const Connect&, const Connect&) = default;
};

struct Connected {
  Epoch epoch;
  bool ok = true;
  std::string error;    // why not
  SlotSet unreachable;  // whose empty frame did not come in time, if that is why
  friend bool operator==(const Connected&, const Connected&) = default;
};

struct Heartbeat {
  Epoch epoch;
  std::uint64_t progress = 0;  // phases run since start: a wedged compute thread shows
  bool busy = false;           // has a step to run
  std::uint64_t rss_bytes = 0;
  // Where its exchange stands: the how-maniest of this epoch it is in (from 1; 0: in none) and
  // whose frames have not come. One that waits for a peer which is in the same exchange or a later
  // one has a broken link from there; one that waits for a peer further back only waits for it.
  std::uint64_t exchange = 0;
  SlotSet waits_for;
  // Rises while its thread looks for them: one that stands still within an exchange shows.
  std::uint64_t looks = 0;
  friend bool operator==(const Heartbeat&, const Heartbeat&) = default;
};

// Experts are being packed; said with every heartbeat as long as that goes on.
struct LoadProgress {
  std::uint64_t expert_bytes = 0;  // of all that it holds
  friend bool operator==(const LoadProgress&, const LoadProgress&) = default;
};

// A step could not be finished.
struct StepBroken {
  Epoch epoch;
  StepId step;
  std::string error;
  friend bool operator==(const StepBroken&, const StepBroken&) = default;
};

struct LeaveAsked {  // SIGTERM: drain me
  friend bool operator==(const LeaveAsked&, const LeaveAsked&) = default;
};
struct Goodbye {  // to a worker: you are out (refused, fenced, or drained)
  std::string reason;
  bool refused = false;
  friend bool operator==(const Goodbye&, const Goodbye&) = default;
};

// The last things a process decided, for people. The edges ask and answer; the cores never see it.
struct RecorderAsked {
  std::uint64_t ticket = 0;
  friend bool operator==(const RecorderAsked&, const RecorderAsked&) = default;
};
struct RecorderTold {
  std::uint64_t ticket = 0;
  std::string text;  // lines; at most kRecorderBytesMax
  friend bool operator==(const RecorderTold&, const RecorderTold&) = default;
};

using FromWorker = std::variant<Hello, Ready, StepResult, StepBroken, Heartbeat, LoadProgress,
                                LeaveAsked, Loaded, Connected, RecorderTold>;
using ToWorker =
    std::variant<Welcome, Prepare, Commit, StepAsk, Goodbye, Load, Connect, RecorderAsked>;

}  // namespace conclave
