// SwiGLU experts with AVX2.
//
// An expert's bytes: panels of gate and up, 16 channels of each interleaved (so that one pass
// yields 32 finished middle values), then panels of down. Layout of a panel: tile_avx2_inl.h.
#include "kernels/avx2_kernels.h"
#include "kernels/ffn/ffn.h"
#include "kernels/tile_avx2_inl.h"

namespace conclave {
namespace {

constexpr std::int64_t kPairChannels = kPanelChannels / 2;  // of gate, and of up, in one panel

// The padding of a middle row is part of the last panel, or one of its own: all of it is written.
std::int64_t UpPanels(std::int64_t width) { return PaddedCols(width) / kPairChannels; }
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

// middle = silu(gate) * up: 16 channels; what lies beyond `width` is zero, not finite rows
// included.
void StoreMiddle(const Activations& middle, std::int64_t width, const Piece& piece,
                 const float* acc) {
  for (std::int64_t r = 0; r < piece.count; ++r) {
    const float* const gate = acc + r * kPanelChannels;
    float* const to = Floats(middle.data + (piece.slot + r) * middle.stride_bytes);
    for (std::int64_t j = 0; j < kPairChannels; j += 8) {
      const std::int64_t channel = piece.panel * kPairChannels + j;
      const __m256 product = _mm256_mul_ps(Silu8(_mm256_loadu_ps(gate + j)),
                                           _mm256_loadu_ps(gate + kPairChannels + j));
      _mm256_store_ps(to + channel,
                      _mm256_and_ps(_mm256_castsi256_ps(First8(width - channel)), product));
    }
  }
}

void StoreAnswers(const FfnDownArgs& args, const Piece& piece, const float* acc) {
  for (std::int64_t r = 0; r < piece.count; ++r) {
    float* const answer = args.answers.data()[piece.slot + r] + piece.panel * kPanelChannels;
    const std::int64_t left = args.hidden - piece.panel * kPanelChannels;
    for (std::int64_t j = 0; j < kPanelChannels; j += 8)
      _mm256_maskstore_ps(answer + j, First8(left - j),
                          _mm256_loadu_ps(acc + r * kPanelChannels + j));
  }
}

}  // namespace

namespace avx2 {

std::size_t PackedFfnBytes(std::int64_t hidden, std::int64_t width) {
  return static_cast<std::size_t>(UpPanels(width) * PanelBytes(hidden) +
                                  DownPanels(hidden) * PanelBytes(width));
}

void PackFfn(const PackFfnArgs& args) {
  const std::int64_t width = args.gate.rows;
  const std::int64_t hidden = args.gate.cols;
  std::byte* out = args.out;
  for (std::int64_t begin = 0; begin < PaddedCols(width); begin += kPairChannels) {
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
  const float* rows[kRowBlock];
  Pieces pieces(args.groups, UpPanels(args.width));
  for (Piece piece = pieces.Find(TakeTicket(lane)); piece.weights != nullptr;
       piece = pieces.Find(TakeTicket(lane))) {
    for (std::int64_t r = 0; r < piece.count; ++r)
      rows[r] = Floats(args.rows.data()[piece.slot + r]);
    RowsTimesPanel(rows, piece.count, piece.weights + piece.panel * PanelBytes(args.hidden),
                   args.hidden, acc);
    StoreMiddle(args.middle, args.width, piece, acc);
  }
}

void FfnDown(const FfnDownArgs& args, const Lane& lane) {
  alignas(64) float acc[kRowBlock * kPanelChannels];
  const float* rows[kRowBlock];
  const std::int64_t down = UpPanels(args.width) * PanelBytes(args.hidden);
  Pieces pieces(args.groups, DownPanels(args.hidden));
  for (Piece piece = pieces.Find(TakeTicket(lane)); piece.weights != nullptr;
       piece = pieces.Find(TakeTicket(lane))) {
    for (std::int64_t r = 0; r < piece.count; ++r)
      rows[r] = Floats(args.middle.data + (piece.slot + r) * args.middle.stride_bytes);
    RowsTimesPanel(rows, piece.count, piece.weights + down + piece.panel * PanelBytes(args.width),
                   args.width, acc);
    StoreAnswers(args, piece, acc);
  }
}

}  // namespace avx2
}  // namespace conclave
