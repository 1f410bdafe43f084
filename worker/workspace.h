// Every buffer of a step, by name and shape, reserved at start. Size and places come from the same
// lines (Describe). "rows" are this worker's own of one step, "slice" those of them whose experts run
// in one round (protocol/rounds.h); "slots" are (row, expert) pairs that it runs in a round, arrivals
// included.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "base/views.h"
#include "exchange/exchange.h"
#include "exchange/frame.h"
#include "kernels/kernel_set.h"
#include "model/config.h"
#include "worker/frame_arena.h"
#include "worker/memory.h"

namespace conclave {

inline constexpr std::int64_t kLogitRows = 64;  // rows whose logits exist at one time

struct WorkspaceShape {
  const ModelConfig& model;
  const KernelSet& kernels;
  std::int64_t rows = 0;      // of a step, this worker's own
  std::int64_t arrivals = 0;  // rows of others in a round; also the most of its own in one
  int lanes = 1;

  std::int64_t topk() const { return model.topk > 0 ? model.topk : 1; }
  std::int64_t slice() const { return std::min(rows, arrivals); }
  std::int64_t slots() const { return (slice() + arrivals) * topk(); }
  FrameShape frame() const;
  // Upper bounds over all peers.
  std::int64_t DispatchBytes(std::int64_t frame_rows, std::int64_t frame_slots) const;
  std::int64_t SendBackBytes(std::int64_t frame_slots) const;
};

// A row whose logits are wanted, and what for.
struct LogitRow {
  std::int32_t row;       // of the step
  std::int32_t chunk;     // of the part
  std::int32_t position;  // of the token that these logits are about
  std::int32_t out;       // entry of the result's `sampled` or `prompt_logprobs`
  bool sample;            // else: a prompt token's log-probability
};

// One lane's room in the sampler.
struct SamplerRoom {
  std::span<TokenId> order;           // [vocab] ids, best first as far as they were needed
  std::span<float> adjusted;          // [vocab] after bias and penalties
  std::span<float> scaled;            // [vocab] after temperature
  std::span<std::int32_t> counts;     // [vocab] occurrences among emitted tokens; zero between uses
  std::span<std::uint8_t> seen;       // [vocab] occurs in prompt or emitted; zero between uses
  std::span<LogitSliceStats> slices;  // [slices of the vocabulary]
};

struct Workspace {
  // The step's rows.
  std::span<TokenId> token_ids;       // [rows]
  std::span<std::int32_t> positions;  // [rows]
  std::span<KvPlace> places;          // [rows]
  std::span<AttentionSpan> spans;     // [rows] one per chunk
  std::span<LogitRow> logit_rows;     // [rows]

  // The residual stream and what attention makes of it.
  MatrixView<float> hidden;    // [rows, hidden]
  Activations normed;          // [rows, hidden]
  MatrixView<float> qkv;       // [rows, q_width + 2 kv_width]
  Activations q;               // [rows, q_width]
  Activations attended;        // [rows, q_width]
  MatrixView<float> cos, sin;  // [rows, head_dim / 2]

  // Routing.
  MatrixView<float> router_logits;      // [rows, experts]
  MatrixView<std::uint16_t> route_ids;  // [rows, topk] best first
  MatrixView<float> route_weights;      // [rows, topk]
  MatrixView<float> ones;               // [rows, 1] the weights of a dense layer's only "expert"

  // Experts: slots grouped by expert.
  std::span<FfnGroup> groups;             // [experts]
  std::span<std::int64_t> group_cursors;  // [experts + 1]
  std::span<const std::byte*> slot_rows;  // [slots] activation row in
  std::span<float*> slot_answers;         // [slots] answer row out
  Activations middle;                     // [slots, expert_width]
  Activations dense_middle;               // [rows, ffn_width]; models with dense layers
  MatrixView<float> local_answers;        // [slice * topk, hidden] of experts here
  std::span<const float*> answers;        // [slice * topk] where combine reads

  // The wire. Frames that came must live until experts (combine) has run.
  std::span<std::uint32_t> wire_counts;  // [peers, experts] while frames are packed
  std::span<std::byte> dispatch_out;     // frames, one after another
  std::span<std::byte> dispatch_in_room;
  std::span<std::byte> sendback_out;
  std::span<std::byte> sendback_in_room;
  std::span<OutFrame> sends;               // [peers]
  std::span<std::span<std::byte>> frames;  // [peers] outgoing frame of each
  FrameArena dispatch_in;
  FrameArena sendback_in;

  // Logits, a block of rows at a time.
  MatrixView<float> logit_hidden;            // [kLogitRows, hidden]
  Activations logit_normed;                  // [kLogitRows, hidden]
  MatrixView<float> logits;                  // [kLogitRows, vocab]
  MatrixView<LogitSliceStats> logit_slices;  // [kLogitRows, slices of the vocabulary]
  std::span<SamplerRoom> sampler_rooms;      // [lanes]

  // What Make would reserve.
  static std::size_t BytesFor(const WorkspaceShape& shape);
  static Workspace Make(const WorkspaceShape& shape,
                        Memory& memory);  // CHECKs that memory is there
  std::size_t bytes() const { return memory.size(); }

  MemoryBlock memory;

  template <typename Cursor>
  static void Describe(Cursor& cursor, Workspace& self, const WorkspaceShape& shape);
};

// Memory for rounds unless a worker is told how many rows it takes in one: the rows' activations,
// what experts make of them, and their answers.
inline constexpr std::size_t kRoundBytes = std::size_t{512} << 20;
// More than this many rows in a round gain nothing: every expert has enough of them by then.
inline constexpr std::int64_t kRoundRowsEnough = 4096;
// The most `arrivals` for which what a round needs fits `bytes` and there is a gain, but never fewer
// than kArrivalsLeast. The shape's own `arrivals` are not read.
std::int32_t ArrivalsFor(WorkspaceShape shape, std::size_t bytes);

}  // namespace conclave
