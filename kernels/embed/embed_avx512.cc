// Widens rows of the embedding table, 16 columns at a time.
#include "kernels/avx512_inl.h"
#include "kernels/avx512_kernels.h"
#include "kernels/embed/embed.h"

namespace conclave {
namespace {

// Columns at .. at + 15 of a stored row, those of `mask`.
__m512 Widened(const std::byte* row, DType dtype, std::int64_t at, __mmask16 mask) {
  if (dtype == DType::kF32) return _mm512_maskz_loadu_ps(mask, row + at * 4);
  const __m256i narrow = _mm256_maskz_loadu_epi16(mask, row + at * 2);
  return dtype == DType::kBf16 ? WidenBf16(narrow) : _mm512_cvtph_ps(narrow);
}

}  // namespace

namespace avx512 {

void Embed(const EmbedArgs& args, const Lane& lane) {
  const std::int64_t cols = args.table.cols;
  const std::int64_t row_bytes = cols * (args.table.dtype == DType::kF32 ? 4 : 2);
  const auto rows = static_cast<std::int64_t>(args.ids.size());
  for (std::int64_t r = TakeTicket(lane); r < rows; r = TakeTicket(lane)) {
    const std::byte* const row = args.table.data + args.ids.data()[r] * row_bytes;
    float* const out = args.out.data + r * args.out.stride;
    for (std::int64_t at = 0; at < cols; at += 16) {
      const __mmask16 mask = First16(cols - at);
      _mm512_mask_storeu_ps(out + at, mask, Widened(row, args.table.dtype, at, mask));
    }
  }
}

}  // namespace avx512
}  // namespace conclave
