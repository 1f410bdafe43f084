// One step of one worker: a walk along a table of phases, paused where a phase needs the wire.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "base/limits.h"
#include "kernels/kernel_set.h"
#include "kernels/lane.h"
#include "kernels/qkv/rope_table.h"
#include "model/config.h"
#include "model/rope.h"
#include "protocol/plan.h"
#include "protocol/rounds.h"
#include "worker/core.h"
#include "worker/epoch_tables.h"
#include "worker/kv_cache.h"
#include "worker/sequences.h"
#include "worker/shard.h"
#include "worker/workspace.h"

namespace conclave {

// Indices into kPhaseNames.
enum class PhaseId : std::uint8_t {
  kEmbed,
  kAttend,
  kRoute,
  kDispatch,
  kExperts,
  kSendBack,
  kCombine,
  kDense,
  kLogits,
  kSample,
  kExchange,
};
inline constexpr std::size_t kPhases = std::size(kPhaseNames);
static_assert(static_cast<std::size_t>(PhaseId::kExchange) + 1 == kPhases);

// What a phase costs: measured time, and bytes of memory and arithmetic by formula from its shapes.
struct Cost {
  std::uint64_t bytes = 0;
  std::uint64_t ops = 0;
};

// What the phases of a step read and write. Made once per worker; the lower part is the step's own.
struct StepContext {
  const ModelConfig& model;
  const KernelSet& kernels;
  const Shard& shard;
  Lanes& lanes;
  Trace& trace;
  KvCache& kv;
  Sequences& sequences;
  Workspace& ws;
  const RopeFrequencies& rope;
  const FrameShape frame_shape;
  std::atomic<std::uint64_t>& progress;
  std::vector<std::uint32_t>& expert_rows;  // [moe layers, experts] since they were last sent

  EpochTables* epoch = nullptr;
  const StepAsk* ask = nullptr;
  std::int64_t rows = 0;         // this worker's own
  int layer = 0;                 // of the phase at hand
  std::int32_t round = 0;        // of the layer's exchange: 0 .. ask->rounds - 1
  std::int64_t logit_rows = 0;   // rows that want logits
  std::int64_t logits_done = 0;  // of them

  // The exchange that a phase asked for.
  std::size_t sends = 0;
  FrameArena* sink = nullptr;

  std::array<absl::Status, kSlotsMax> peer_status;  // ForEachPeer's

  std::atomic<std::uint32_t> bad_router_rows{0};
  std::array<PhaseTime, kPhases> times{};
  StepResult result;
  absl::Status error;  // why the step is broken

  int moe_layer() const { return model.layers[static_cast<std::size_t>(layer)].moe_index; }
  const Shard::Layer& weights() const { return shard.layer(layer); }
  bool alone() const { return epoch->peers() == 1; }
  // The rows whose experts run in this round, of this worker and of any peer.
  RowRange slice() const { return SliceOf(rows, ask->rounds, round); }
  RowRange SliceAt(int peer) const {
    return SliceOf(ask->part_rows[static_cast<std::size_t>(peer)], ask->rounds, round);
  }
  // What a frame from (to) a peer must say. dispatch: `slots` is not known beforehand.
  FrameExpectation Expect(Direction direction, int peer, std::int64_t slots) const;
  // The header of a frame to a peer, but for its counts.
  void Address(Direction direction, int peer, FrameHeader& header) const;
  void Charge(PhaseId phase, Cost cost);
  // Frames out of ws.frames, for every peer but this one, in rising order; room for what comes.
  void AskExchange(FrameArena& sink);
};

// Calls work(peer) for every peer but this worker, divided among the lanes, frame by frame. The
// error of the lowest peer, if any.
absl::Status ForEachPeer(StepContext& step, absl::FunctionRef<absl::Status(int peer)> work);

enum class After : std::uint8_t {
  kNext,
  kExchange,  // the frames of ws.sends have to go first
  kAgain,     // the phases that repeat as a group, for the next rows
  kBroken,    // step.error says why
};

struct Phase {
  PhaseId id;
  After (*run)(StepContext& step);
};

// The verbs, one file each.
After Embed(StepContext& step);       // tokens -> hidden
After Attend(StepContext& step);      // hidden += attention(hidden), K and V written
After Route(StepContext& step);       // which experts, with what weight
After Dispatch(StepContext& step);    // a slice of rows -> the workers that own their experts
After RunExperts(StepContext& step);  // arrived -> answered
After SendBack(StepContext& step);    // answers -> home
After Combine(StepContext& step);     // the slice's hidden += weighted answers, in k order
After Dense(StepContext& step);       // hidden += ffn(hidden)
After Logits(StepContext& step);      // hidden -> logits, of a block of rows that want them
After Sample(StepContext& step);      // logits -> tokens, log-probabilities

enum class Progress : std::uint8_t { kWaiting, kDone, kBroken };

class StepRun {
 public:
  explicit StepRun(const ModelConfig& model);
  void Begin() { cursor_ = 0; }
  // Runs phases until one needs the wire (call again once the exchange is done), the step is done,
  // or it is broken.
  Progress Advance(StepContext& step);

 private:
  struct Stop {
    const Phase* phase;
    int layer;
    std::size_t again;  // where its group begins: the next stop after kAgain
  };
  void Append(std::span<const Phase> group, int layer);

  std::vector<Stop> stops_;  // the whole table, layer by layer
  std::size_t cursor_ = 0;   // the whole position of a step
};

}  // namespace conclave
