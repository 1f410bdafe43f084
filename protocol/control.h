// The messages between coordinator and worker besides steps: joining, epochs, heartbeats.
//
//   from         message                       what the receiver does
//   worker       Hello                         the coordinator checks it and answers Welcome
//   coordinator  Prepare(e, view, placement)   the worker leaves the old epoch, loads the experts it
//                                              lacks (LoadProgress meanwhile), opens e: Ready
//   coordinator  Commit(e, first step)         from then on the worker runs steps of epoch e
//
// Between two epochs a worker keeps its sequences with their tokens, block tables, K and V, exactly
// as the last finished step left them. An unfinished step leaves no trace: the coordinator plans its
// closes, opens and chunks anew. Plans that the worker has not begun are forgotten at Prepare. The
// results of finished steps precede Ready on the stream, and the newest Prepare always gets a Ready.
// Both sides refuse messages of an epoch lower than the current one.
//
// A change that can be foreseen (join, drain, rebalance) is staged while the running epoch goes on
// (docs/decisions/0007-change-over.md):
//
//   from         message                       what the receiver does
//   coordinator  Load(e, placement)            the worker loads missing experts in the background,
//                                              drops none, and makes a fresh endpoint for e: Loaded
//   coordinator  Connect(e, peers)             the worker opens e on that endpoint and swaps one
//                                              empty frame with every peer: Connected
//   coordinator  Prepare(e), same peers and    the worker switches to the staged endpoint at once
//                placement
//
// A Prepare of another epoch, or a newer Load, discards what was staged for e. An epoch number that
// was used for a Load is never used for anything else.
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

// The model's identity and shape, on which coordinator and workers must agree.
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
  std::int32_t rows_max = 0;              // most rows of its own in one step
  std::int32_t arrivals_max = 0;          // most rows of others that may arrive in one round
  std::uint64_t expert_memory_bytes = 0;  // memory for experts; 0: unlimited, as far as known
  std::int32_t threads = 0;
  // From this process's last incarnation, if it had one. A restarted coordinator takes a term above
  // that of `last_epoch`, and assigns `last_slot` again if it is free, because the experts that were
  // placed there are still in this process's memory.
  Epoch last_epoch;             // the highest epoch this process was told of; {0, 0}: none
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
  std::vector<ViewPeer> peers;  // in rising order of worker ids, the receiver included
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
  Epoch epoch;  // the epoch that is staged
  Slot slot;    // the receiver's
  Placement placement;
  friend bool operator==(const Load&, const Load&) = default;
};

// A member is silent and may be lost: experts that this worker would then be given are packed in the
// background, beside what it holds. Nothing is answered, and no step is disturbed. `drop`: the member
// speaks again; what `placement`, the committed one, does not give this worker is dropped.
struct Preload {
  Epoch epoch;  // the committed one
  Slot slot;    // the receiver's
  Placement placement;
  bool drop = false;
  friend bool operator==(const Preload&, const Preload&) = default;
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
  std::vector<ViewPeer> peers;  // as in Prepare, with the addresses from Loaded
  friend bool operator==(const Connect&, const Connect&) = default;
};

struct Connected {
  Epoch epoch;
  bool ok = true;
  std::string error;    // why not
  SlotSet unreachable;  // the peers whose empty frame did not arrive in time; may be empty
  friend bool operator==(const Connected&, const Connected&) = default;
};

struct Heartbeat {
  Epoch epoch;
  std::uint64_t progress = 0;  // phases run since start; stands still when a compute thread is stuck
  bool busy = false;           // the worker has a step to run
  std::uint64_t rss_bytes = 0;
  // 1-based index of the current exchange in this epoch; 0 when the worker is in none.
  std::uint64_t exchange = 0;
  // The peers whose frames of that exchange have not arrived. If such a peer is in the same exchange
  // or a later one, the link from it is broken; if it is further back, the worker only waits for it.
  SlotSet waits_for;
  // How often the exchanging thread has polled for frames. A count that stands still within an
  // exchange means that the thread is stuck.
  std::uint64_t looks = 0;
  friend bool operator==(const Heartbeat&, const Heartbeat&) = default;
};

// The worker is packing experts. Sent with every heartbeat until it has finished.
struct LoadProgress {
  Epoch epoch;                     // the epoch that the experts are for
  std::uint64_t expert_bytes = 0;  // of all experts that it holds now
  friend bool operator==(const LoadProgress&, const LoadProgress&) = default;
};

// A step could not be finished.
struct StepBroken {
  Epoch epoch;
  StepId step;
  std::string error;
  friend bool operator==(const StepBroken&, const StepBroken&) = default;
};

struct LeaveAsked {  // the worker got SIGTERM and wants to be drained
  friend bool operator==(const LeaveAsked&, const LeaveAsked&) = default;
};
struct Goodbye {  // the worker is no member any longer: it was refused, fenced or drained
  std::string reason;
  bool refused = false;
  friend bool operator==(const Goodbye&, const Goodbye&) = default;
};

// A flight record, for people. The edges request and send it; the cores never see it.
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
    std::variant<Welcome, Prepare, Commit, StepAsk, Goodbye, Load, Connect, RecorderAsked, Preload>;

}  // namespace conclave
