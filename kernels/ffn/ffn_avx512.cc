// SwiGLU experts with VDPBF16PS.
//
// An expert's bytes: panels of gate and up, 32 channels of each interleaved (so that one pass
// yields 32 finished middle values), then panels of down. Layout of a panel: tile_avx512_inl.h.
#include "kernels/avx512_kernels.h"
#include "kernels/ffn/ffn.h"
#include "kernels/pack_avx512_inl.h"

namespace conclave {
namespace {

constexpr std::int64_t kPairChannels = kPanelChannels / 2;  // of gate, and of up, in one panel

std::int64_t UpPanels(std::int64_t width) { return CeilDiv(width, kPairChannels); }
std::int64_t DownPanels(std::int64_t hidden) { return CeilDiv(hidden, kPanelChannels); }

// A share of the work: rows slot .. slot + count - 1 of one group times one panel.
struct Piece {
  const std::byte* weights = nullptr;  // of the group; null: no work left
  std::int64_t slot = 0;
  std::int64_t count = 0;
  std::int64_t panel = 0;
};

// Finds the pieces of rising tickets: groups in order, row blocks within a group, panels within a
// block.
class Pieces {
 public:
  Pieces(std::span<const FfnGroup> groups, std::int64_t panels)
      : group_(groups.data()), end_(groups.data() + groups.size()), panels_(panels) {}

  Piece Find(std::int64_t ticket) {
    while (group_ != end_) {
      const std::int64_t pieces = CeilDiv(group_->slots, kRowBlock) * panels_;
      if (ticket < first_ + pieces) break;
      first_ += pieces;
      ++group_;
    }
    if (group_ == end_) return {};
    const std::int64_t block = (ticket - first_) / panels_;
    const std::int64_t left = group_->slots - block * kRowBlock;
    return {group_->weights.data, group_->slot_begin + block * kRowBlock,
            left < kRowBlock ? left : kRowBlock, (ticket - first_) % panels_};
  }

 private:
  const FfnGroup* group_;
  const FfnGroup* end_;
  std::int64_t panels_;
  std::int64_t first_ = 0;  // ticket of the group's first piece
};

// middle = silu(gate) * up, rounded to bf16: 32 channels, one cache line.
void StoreMiddle(const Activations& middle, std::int64_t width, const Piece& piece,
                 const float* acc) {
  // Padding is zero even where a row is not finite and its products with zero weights are NaN.
  const __mmask32 mask = First32(width - piece.panel * kPairChannels);
  for (std::int64_t r = 0; r < piece.count; ++r) {
    const float* const gate = acc + r * kPanelChannels;
    const float* const up = gate + kPairChannels;
    const __m512 low = _mm512_mul_ps(Silu16(_mm512_loadu_ps(gate)), _mm512_loadu_ps(up));
    const __m512 high = _mm512_mul_ps(Silu16(_mm512_loadu_ps(gate + 16)), _mm512_loadu_ps(up + 16));
    std::byte* const to =
        middle.data + (piece.slot + r) * middle.stride_bytes + piece.panel * kPairChannels * 2;
    _mm512_store_si512(to, _mm512_maskz_mov_epi16(mask, NarrowBf16(low, high)));
  }
}

void StoreAnswers(const FfnDownArgs& args, const Piece& piece, const float* acc) {
  for (std::int64_t r = 0; r < piece.count; ++r) {
    float* const answer = args.answers.data()[piece.slot + r] + piece.panel * kPanelChannels;
    const std::int64_t left = args.hidden - piece.panel * kPanelChannels;
    for (std::int64_t j = 0; j < 4; ++j)
      _mm512_mask_storeu_ps(answer + 16 * j, First16(left - 16 * j),
                            _mm512_loadu_ps(acc + r * kPanelChannels + 16 * j));
  }
}

}  // namespace

namespace avx512 {

std::size_t PackedFfnBytes(std::int64_t hidden, std::int64_t width) {
  return static_cast<std::size_t>(UpPanels(width) * PanelBytes(hidden) +
                                  DownPanels(hidden) * PanelBytes(width));
}

void PackFfn(const PackFfnArgs& args) {
  const std::int64_t width = args.gate.rows;
  const std::int64_t hidden = args.gate.cols;
  std::byte* out = args.out;
  for (std::int64_t begin = 0; begin < width; begin += kPairChannels) {
    SourceRow rows[kPanelChannels];
    for (std::int64_t c = 0; c < kPairChannels && begin + c < width; ++c) {
      rows[c] = RowOf(args.gate, begin + c);
      rows[kPairChannels + c] = RowOf(args.up, begin + c);
    }
    PackPanel(rows, hidden, out);
    out += PanelBytes(hidden);
  }
  for (std::int64_t begin = 0; begin < hidden; begin += kPanelChannels) {
    SourceRow rows[kPanelChannels];
    for (std::int64_t c = 0; c < kPanelChannels && begin + c < hidden; ++c)
      rows[c] = RowOf(args.down, begin + c);
    PackPanel(rows, width, out);
    out += PanelBytes(width);
  }
}

void FfnUp(const FfnUpArgs& args, const Lane& lane) {
  alignas(64) float acc[kRowBlock * kPanelChannels];
  const std::int64_t panel_bytes = PanelBytes(args.hidden);
  Pieces pieces(args.groups, UpPanels(args.width));
  Piece next = pieces.Find(TakeTicket(lane));
  while (next.weights != nullptr) {
    const Piece piece = next;
    next = pieces.Find(TakeTicket(lane));
    const std::byte* ahead =
        next.weights != nullptr ? next.weights + next.panel * panel_bytes : nullptr;
    RowsTimesPanel(args.rows.data() + piece.slot, piece.count,
                   piece.weights + piece.panel * panel_bytes, args.hidden, ahead, acc);
    StoreMiddle(args.middle, args.width, piece, acc);
  }
}

void FfnDown(const FfnDownArgs& args, const Lane& lane) {
  alignas(64) float acc[kRowBlock * kPanelChannels];
  const std::byte* rows[kRowBlock];
  const std::int64_t panel_bytes = PanelBytes(args.width);
  const std::int64_t down = UpPanels(args.width) * PanelBytes(args.hidden);
  Pieces pieces(args.groups, DownPanels(args.hidden));
  Piece next = pieces.Find(TakeTicket(lane));
  while (next.weights != nullptr) {
    const Piece piece = next;
    next = pieces.Find(TakeTicket(lane));
    const std::byte* ahead =
        next.weights != nullptr ? next.weights + down + next.panel * panel_bytes : nullptr;
    for (std::int64_t r = 0; r < piece.count; ++r)
      rows[r] = args.middle.data + (piece.slot + r) * args.middle.stride_bytes;
    RowsTimesPanel(rows, piece.count, piece.weights + down + piece.panel * panel_bytes, args.width,
                   ahead, acc);
    StoreAnswers(args, piece, acc);
  }
}

}  // namespace avx512
}  // namespace conclave
