// linear and linear_add with AVX2. Panels of 32 channels, blocks of 48 rows, pieces by ticket.
#include "kernels/avx2_kernels.h"
#include "kernels/linear/linear.h"
#include "kernels/tile_avx2_inl.h"

namespace conclave {
namespace {

enum class Out { kWrite, kAdd };

// out[r][n0 + c] (+)= acc[r][c] (+ bias), for the channels that exist.
template <Out kOut>
void Store(const LinearArgs& args, const float* acc, std::int64_t row, std::int64_t rows,
           std::int64_t n0) {
  const bool biased = args.bias.size() != 0;
  for (std::int64_t j = 0; j < kPanelChannels / 8 && n0 + 8 * j < args.w.n; ++j) {
    const std::int64_t channel = n0 + 8 * j;
    const __m256i mask = First8(args.w.n - channel);
    const __m256 bias =
        biased ? _mm256_maskload_ps(args.bias.data() + channel, mask) : _mm256_setzero_ps();
    for (std::int64_t r = 0; r < rows; ++r) {
      float* const to = args.out.data + (row + r) * args.out.stride + channel;
      __m256 v = _mm256_loadu_ps(acc + r * kPanelChannels + 8 * j);
      if (biased) v = _mm256_add_ps(v, bias);
      if constexpr (kOut == Out::kAdd) v = _mm256_add_ps(_mm256_maskload_ps(to, mask), v);
      _mm256_maskstore_ps(to, mask, v);
    }
  }
}

template <Out kOut>
void Run(const LinearArgs& args, const Lane& lane) {
  alignas(64) float acc[kRowBlock * kPanelChannels];
  const float* rows[kRowBlock];
  const std::int64_t panels = CeilDiv(args.w.n, kPanelChannels);
  const std::int64_t pieces = CeilDiv(args.in.rows, kRowBlock) * panels;
  for (std::int64_t piece = TakeTicket(lane); piece < pieces; piece = TakeTicket(lane)) {
    const std::int64_t row = piece / panels * kRowBlock;
    const std::int64_t panel = piece % panels;
    const std::int64_t count = MinOf(args.in.rows - row, kRowBlock);
    for (std::int64_t r = 0; r < count; ++r)
      rows[r] = Floats(args.in.data + (row + r) * args.in.stride_bytes);
    RowsTimesPanel(rows, count, args.w.data + panel * PanelBytes(args.w.k), args.w.k, acc);
    Store<kOut>(args, acc, row, count, panel * kPanelChannels);
  }
}

}  // namespace

namespace avx2 {

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
      const std::int64_t end = MinOf(channel + source.rows, kPanelChannels);
      for (std::int64_t c = channel > 0 ? channel : 0; c < end; ++c)
        rows[c] = RowOf(source, c - channel);
      channel += source.rows;
    }
    PackPanel(rows, k, args.out + panel * PanelBytes(k));
  }
}

void Linear(const LinearArgs& args, const Lane& lane) { Run<Out::kWrite>(args, lane); }
void LinearAdd(const LinearArgs& args, const Lane& lane) { Run<Out::kAdd>(args, lane); }

}  // namespace avx2
}  // namespace conclave
