// linear and linear_add with VDPBF16PS. Panels of 64 channels, blocks of 96 rows, pieces by ticket.
#include "kernels/avx512_kernels.h"
#include "kernels/linear/linear.h"
#include "kernels/pack_avx512_inl.h"

namespace conclave {
namespace {

enum class Out { kWrite, kAdd };

// out[r][n0 + c] (+)= acc[r][c] (+ bias), for the channels that exist.
template <Out kOut>
void Store(const LinearArgs& args, const float* acc, std::int64_t row, std::int64_t rows,
           std::int64_t n0) {
  const bool biased = args.bias.size() != 0;
  for (std::int64_t j = 0; j < 4; ++j) {
    const std::int64_t channel = n0 + 16 * j;
    const __mmask16 mask = First16(args.w.n - channel);
    if (mask == 0) return;
    const __m512 bias =
        biased ? _mm512_maskz_loadu_ps(mask, args.bias.data() + channel) : _mm512_setzero_ps();
    for (std::int64_t r = 0; r < rows; ++r) {
      float* const to = args.out.data + (row + r) * args.out.stride + channel;
      __m512 v = _mm512_loadu_ps(acc + r * kPanelChannels + 16 * j);
      if (biased) v = _mm512_add_ps(v, bias);
      if constexpr (kOut == Out::kAdd) v = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, to), v);
      _mm512_mask_storeu_ps(to, mask, v);
    }
  }
}

template <Out kOut>
void Run(const LinearArgs& args, const Lane& lane) {
  alignas(64) float acc[kRowBlock * kPanelChannels];
  const std::byte* rows[kRowBlock];
  const std::int64_t panels = CeilDiv(args.w.n, kPanelChannels);
  const std::int64_t pieces = CeilDiv(args.in.rows, kRowBlock) * panels;
  const std::int64_t panel_bytes = PanelBytes(args.w.k);
  std::int64_t next = TakeTicket(lane);
  while (next < pieces) {
    const std::int64_t piece = next;
    next = TakeTicket(lane);
    const std::int64_t row = piece / panels * kRowBlock;
    const std::int64_t panel = piece % panels;
    const std::int64_t left = args.in.rows - row;
    const std::int64_t count = left < kRowBlock ? left : kRowBlock;
    for (std::int64_t r = 0; r < count; ++r)
      rows[r] = args.in.data + (row + r) * args.in.stride_bytes;
    const std::byte* ahead = next < pieces ? args.w.data + next % panels * panel_bytes : nullptr;
    RowsTimesPanel(rows, count, args.w.data + panel * panel_bytes, args.w.k, ahead, acc);
    Store<kOut>(args, acc, row, count, panel * kPanelChannels);
  }
}

}  // namespace

namespace avx512 {

std::size_t PackedBytes(std::int64_t n, std::int64_t k) {
  return static_cast<std::size_t>(CeilDiv(n, kPanelChannels) * PanelBytes(k));
}

void Pack(const PackArgs& args, const Lane& lane) {
  std::int64_t n = 0;
  for (std::size_t s = 0; s < args.sources.size(); ++s) n += args.sources.data()[s].rows;
  if (n == 0) return;
  const std::int64_t k = args.sources.data()[0].cols;
  const std::int64_t panels = CeilDiv(n, kPanelChannels);
  for (std::int64_t panel = TakeTicket(lane); panel < panels; panel = TakeTicket(lane)) {
    SourceRow rows[kPanelChannels];
    std::int64_t channel = -panel * kPanelChannels;  // of the source's first row, in this panel
    for (std::size_t s = 0; s < args.sources.size(); ++s) {
      const TensorView& source = args.sources.data()[s];
      const std::int64_t begin = channel > 0 ? channel : 0;
      const std::int64_t end =
          channel + source.rows < kPanelChannels ? channel + source.rows : kPanelChannels;
      for (std::int64_t c = begin; c < end; ++c) rows[c] = RowOf(source, c - channel);
      channel += source.rows;
    }
    PackPanel(rows, k, args.out + panel * PanelBytes(k));
  }
}

void Linear(const LinearArgs& args, const Lane& lane) { Run<Out::kWrite>(args, lane); }
void LinearAdd(const LinearArgs& args, const Lane& lane) { Run<Out::kAdd>(args, lane); }

}  // namespace avx512
}  // namespace conclave
