#include "worker/workspace.h"

#include <algorithm>
#include <string>
#include <type_traits>

#include "base/check.h"
#include "base/limits.h"

namespace conclave {
namespace {

constexpr std::int64_t kAlign = 64;
constexpr std::int64_t Aligned(std::int64_t n) { return (n + kAlign - 1) / kAlign * kAlign; }
constexpr std::int64_t SlicesOf(std::int64_t vocab) {
  return (vocab + kLogitSlice - 1) / kLogitSlice;
}

// With a null base it counts, otherwise it places.
class Placing {
 public:
  explicit Placing(std::byte* base) : base_(base) {}
  template <typename T>
  void Take(std::span<T>& part, std::int64_t count) {
    static_assert(std::is_trivially_copyable_v<T>);
    part = {reinterpret_cast<T*>(Next(count * static_cast<std::int64_t>(sizeof(T)))),
            static_cast<std::size_t>(count)};
  }
  template <typename T>
  void Take(MatrixView<T>& part, std::int64_t rows, std::int64_t cols) {
    const std::int64_t stride =
        Aligned(cols * static_cast<std::int64_t>(sizeof(T))) / static_cast<std::int64_t>(sizeof(T));
    const auto bytes = rows * stride * static_cast<std::int64_t>(sizeof(T));
    part = {reinterpret_cast<T*>(Next(bytes)), rows, cols, stride};
  }
  void Take(Activations& part, DType dtype, std::int64_t rows, std::int64_t cols) {
    const std::int64_t stride = Aligned(ActivationRowBytes(cols, dtype));
    part = {Next(rows * stride), dtype, rows, cols, stride};
  }
  std::size_t bytes() const { return static_cast<std::size_t>(offset_); }

 private:
  std::byte* Next(std::int64_t bytes) {
    std::byte* at = base_ == nullptr ? nullptr : base_ + offset_;
    offset_ += Aligned(bytes);
    return at;
  }
  std::byte* base_;
  std::int64_t offset_ = 0;
};

}  // namespace

FrameShape WorkspaceShape::frame() const {
  return {.row_bytes = ActivationRowBytes(model.hidden, kernels.activation),
          .answer_bytes = Aligned(std::int64_t{model.hidden} * 4)};
}

std::int64_t WorkspaceShape::DispatchBytes(std::int64_t frame_rows,
                                           std::int64_t frame_slots) const {
  // Headers, counts and the gaps of every peer's frame, whoever the rows go to.
  const auto empty =
      static_cast<std::int64_t>(DispatchFrameBytes(frame(), 0, 0, model.experts)) + 2 * kAlign;
  return kSlotsMax * empty + frame_rows * frame().row_bytes +
         frame_slots * static_cast<std::int64_t>(sizeof(FrameSlot));
}

std::int64_t WorkspaceShape::SendBackBytes(std::int64_t frame_slots) const {
  return kSlotsMax * static_cast<std::int64_t>(SendBackFrameBytes(frame(), 0)) +
         frame_slots * frame().answer_bytes;
}

template <typename Cursor>
void Workspace::Describe(Cursor& cursor, Workspace& self, const WorkspaceShape& shape) {
  const ModelConfig& m = shape.model;
  const DType act = shape.kernels.activation;
  const std::int64_t rows = shape.rows;
  const std::int64_t slice = shape.slice();
  const std::int64_t topk = shape.topk();
  const bool wired = m.moe_layers > 0;
  const bool dense = m.moe_layers < static_cast<int>(m.layers.size());
  // A dense layer is one expert of every row, and has no rounds.
  const std::int64_t own_slots = std::max(slice * topk, dense ? rows : 0);
  cursor.Take(self.token_ids, rows);
  cursor.Take(self.positions, rows);
  cursor.Take(self.places, rows);
  cursor.Take(self.spans, rows);
  cursor.Take(self.logit_rows, rows);

  cursor.Take(self.hidden, rows, m.hidden);
  cursor.Take(self.normed, act, rows, m.hidden);
  cursor.Take(self.qkv, rows, m.q_width() + 2 * m.kv_width());
  cursor.Take(self.q, act, rows, m.q_width());
  cursor.Take(self.attended, act, rows, m.q_width());
  cursor.Take(self.cos, rows, m.head_dim / 2);
  cursor.Take(self.sin, rows, m.head_dim / 2);

  cursor.Take(self.router_logits, rows, m.experts);
  cursor.Take(self.route_ids, rows, topk);
  cursor.Take(self.route_weights, rows, topk);
  cursor.Take(self.ones, rows, 1);

  cursor.Take(self.groups, std::max(1, m.experts));
  cursor.Take(self.group_cursors, m.experts + 1);
  cursor.Take(self.slot_rows, std::max(own_slots, shape.slots()));
  cursor.Take(self.slot_answers, std::max(own_slots, shape.slots()));
  cursor.Take(self.middle, act, wired ? shape.slots() : 0, m.expert_width);
  cursor.Take(self.dense_middle, act, dense ? rows : 0, m.ffn_width);
  cursor.Take(self.local_answers, own_slots, m.hidden);
  cursor.Take(self.answers, own_slots);

  // A row goes to at most topk others; everything that comes may be asked of experts here.
  cursor.Take(self.wire_counts, kSlotsMax * std::int64_t{m.experts});
  cursor.Take(self.dispatch_out, wired ? shape.DispatchBytes(slice * topk, slice * topk) : 0);
  cursor.Take(self.dispatch_in_room,
              wired ? shape.DispatchBytes(shape.arrivals, shape.arrivals * topk) : 0);
  cursor.Take(self.sendback_out, wired ? shape.SendBackBytes(shape.arrivals * topk) : 0);
  cursor.Take(self.sendback_in_room, wired ? shape.SendBackBytes(slice * topk) : 0);
  cursor.Take(self.sends, kSlotsMax);
  cursor.Take(self.frames, kSlotsMax);

  const std::int64_t logit_rows = std::min(rows, kLogitRows);
  cursor.Take(self.logit_hidden, logit_rows, m.hidden);
  cursor.Take(self.logit_normed, act, logit_rows, m.hidden);
  cursor.Take(self.logits, logit_rows, m.vocab);
  cursor.Take(self.logit_slices, logit_rows, SlicesOf(m.vocab));
  cursor.Take(self.sampler_rooms, shape.lanes);
  SamplerRoom counted;
  for (int lane = 0; lane < shape.lanes; ++lane) {
    SamplerRoom& room =
        self.memory.held() ? self.sampler_rooms[static_cast<std::size_t>(lane)] : counted;
    const std::int64_t vocab = rows > 0 ? m.vocab : 0;
    cursor.Take(room.order, vocab);
    cursor.Take(room.adjusted, vocab);
    cursor.Take(room.scaled, vocab);
    cursor.Take(room.counts, vocab);
    cursor.Take(room.seen, vocab);
    cursor.Take(room.slices, rows > 0 ? SlicesOf(m.vocab) : 0);
  }
}

std::size_t Workspace::BytesFor(const WorkspaceShape& shape) {
  Workspace counted;
  Placing counting(nullptr);
  Describe(counting, counted, shape);
  return counting.bytes();
}

Workspace Workspace::Make(const WorkspaceShape& shape, Memory& memory) {
  Workspace workspace;
  const std::size_t bytes = BytesFor(shape);
  absl::StatusOr<MemoryBlock> block = MemoryBlock::From(memory, bytes);
  CONCLAVE_CHECK(block.ok(), "%s", std::string(block.status().message()).c_str());
  workspace.memory = *std::move(block);
  // Else all others would wait while a newcomer's first step finds its pages, one by one.
  Touch({workspace.memory.data(), workspace.memory.size()});
  Placing placing(workspace.memory.data());
  Describe(placing, workspace, shape);
  CONCLAVE_CHECK(placing.bytes() == bytes, "%zu bytes of %zu", placing.bytes(), bytes);
  std::ranges::fill(
      std::span(workspace.ones.data, static_cast<std::size_t>(shape.rows * workspace.ones.stride)),
      1.0f);
  workspace.dispatch_in = FrameArena(workspace.dispatch_in_room);
  workspace.sendback_in = FrameArena(workspace.sendback_in_room);
  return workspace;
}

std::int32_t ArrivalsFor(WorkspaceShape shape, std::size_t bytes) {
  shape.arrivals = 0;
  const std::size_t without = Workspace::BytesFor(shape);
  std::int64_t low = kArrivalsLeast;
  std::int64_t high = std::max(kRoundRowsEnough, shape.rows);
  while (low < high) {
    shape.arrivals = low + (high - low + 1) / 2;
    if (Workspace::BytesFor(shape) - without <= bytes) {
      low = shape.arrivals;
    } else {
      high = shape.arrivals - 1;
    }
  }
  return static_cast<std::int32_t>(low);
}

}  // namespace conclave
