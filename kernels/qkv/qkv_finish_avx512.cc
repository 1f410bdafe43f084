// Norm per head, rotary embedding and the write of k and v. A piece is a row's kv head together
// with the query heads that read it.
#include "kernels/activations.h"
#include "kernels/avx512_kernels.h"
#include "kernels/kv_avx512_inl.h"
#include "kernels/qkv/qkv_finish.h"

namespace conclave {
namespace {

struct Head {
  alignas(64) float x[kHeadDimMax];
};

// head.x = in, or in normed with `weight` when there is one.
void LoadNormed(const float* in, std::span<const float> weight, std::int64_t dim, float eps,
                Head& head) {
  __m512 scale = _mm512_set1_ps(1.0f);
  const bool normed = weight.size() != 0;
  if (normed) {
    __m512 sum = _mm512_setzero_ps();
    for (std::int64_t i = 0; i < dim; i += 16) {
      const __m512 x = _mm512_maskz_loadu_ps(First16(dim - i), in + i);
      sum = _mm512_fmadd_ps(x, x, sum);
    }
    const float mean = SumOf16(sum) / static_cast<float>(dim);
    scale = _mm512_div_ps(scale, _mm512_sqrt_ps(_mm512_set1_ps(mean + eps)));
  }
  for (std::int64_t i = 0; i < dim; i += 16) {
    const __mmask16 mask = First16(dim - i);
    __m512 x = _mm512_maskz_loadu_ps(mask, in + i);
    if (normed)
      x = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, weight.data() + i), _mm512_mul_ps(x, scale));
    _mm512_store_ps(head.x + i, x);
  }
}

void Rotate(const float* cos, const float* sin, std::int64_t dim, Head& head) {
  const std::int64_t half = dim / 2;
  for (std::int64_t i = 0; i < half; i += 16) {
    const __mmask16 mask = First16(half - i);
    const __m512 c = _mm512_maskz_loadu_ps(mask, cos + i);
    const __m512 s = _mm512_maskz_loadu_ps(mask, sin + i);
    const __m512 a = _mm512_maskz_loadu_ps(mask, head.x + i);
    const __m512 b = _mm512_maskz_loadu_ps(mask, head.x + half + i);
    _mm512_mask_storeu_ps(head.x + i, mask,
                          _mm512_sub_ps(_mm512_mul_ps(a, c), _mm512_mul_ps(b, s)));
    _mm512_mask_storeu_ps(head.x + half + i, mask,
                          _mm512_add_ps(_mm512_mul_ps(b, c), _mm512_mul_ps(a, s)));
  }
}

void StoreBf16(const Head& head, std::int64_t dim, std::byte* out) {
  for (std::int64_t i = 0; i < dim; i += 16)
    _mm256_mask_storeu_epi16(out + i * 2, First16(dim - i), NarrowBf16(_mm512_load_ps(head.x + i)));
}

void WriteK(const Head& head, const KvLayout& layout, DType dtype, std::int64_t offset,
            std::byte* k) {
  if (dtype == DType::kF32) {
    for (std::int64_t i = 0; i < layout.head_dim; ++i)
      std::memcpy(k + (i * kKvBlockTokens + offset) * 4, head.x + i, 4);
    return;
  }
  alignas(64) std::byte narrow[kHeadDimMax * 2];
  StoreBf16(head, layout.head_dim, narrow);
  for (std::int64_t pair = 0; pair < layout.head_dim / 2; ++pair)
    std::memcpy(k + (pair * kKvBlockTokens + offset) * 4, narrow + pair * 4, 4);
}

void WriteV(const Head& head, const KvLayout& layout, DType dtype, std::int64_t offset,
            std::byte* v) {
  for (std::int64_t i = 0; i < layout.head_dim; i += 16) {
    const __mmask16 mask = First16(layout.head_dim - i);
    const __m512 x = _mm512_load_ps(head.x + i);
    if (dtype == DType::kF32) {
      _mm512_mask_storeu_ps(v + (offset * layout.channels + i) * 4, mask, x);
      continue;
    }
    // The other position of the pair belongs to another row, perhaps written by another thread right
    // now: its bytes are masked, not read and written back.
    const bool odd = offset % 2 != 0;
    const __m512i wide = _mm512_cvtepu16_epi32(NarrowBf16(x));
    const __m512i placed = odd ? _mm512_slli_epi32(wide, 16) : wide;
    const __mmask32 half = odd ? 0xaaaaaaaau : 0x55555555u;
    _mm512_mask_storeu_epi16(v + i * kKvBlockTokens * 2 + offset / 2 * 64,
                             half & First32(2 * (layout.head_dim - i)), placed);
  }
}

void FinishGroup(const QkvFinishArgs& args, const KvLayout& layout, std::int64_t row,
                 std::int64_t kv_head) {
  const std::int64_t dim = layout.head_dim;
  const std::int64_t group = args.heads / args.kv.kv_heads;
  const float* const in = args.qkv.data + row * args.qkv.stride;
  const float* const cos = args.cos.data + row * args.cos.stride;
  const float* const sin = args.sin.data + row * args.sin.stride;
  std::byte* const q = args.q.data + row * args.q.stride_bytes;
  Head head;
  for (std::int64_t h = kv_head * group; h < (kv_head + 1) * group; ++h) {
    LoadNormed(in + h * dim, args.q_norm, dim, args.eps, head);
    Rotate(cos, sin, dim, head);
    StoreBf16(head, dim, q + h * dim * 2);
  }
  if (kv_head == args.kv.kv_heads - 1) {
    const std::int64_t width = args.heads * dim;
    std::memset(q + width * 2, 0, static_cast<std::size_t>((PaddedCols(width) - width) * 2));
  }
  const KvPlace& place = args.places.data()[row];
  std::byte* const kv =
      args.kv_layer + place.block.value * layout.block_bytes + kv_head * layout.head_bytes;
  const float* const k = in + (args.heads + kv_head) * dim;
  LoadNormed(k, args.k_norm, dim, args.eps, head);
  Rotate(cos, sin, dim, head);
  WriteK(head, layout, args.kv.dtype, place.offset, kv);
  LoadNormed(k + args.kv.kv_heads * dim, {}, dim, args.eps, head);
  WriteV(head, layout, args.kv.dtype, place.offset, kv + layout.v_offset);
}

}  // namespace

namespace avx512 {

std::size_t KvBlockBytes(const KvShape& shape) {
  return static_cast<std::size_t>(LayoutOf(shape).block_bytes);
}

void QkvFinish(const QkvFinishArgs& args, const Lane& lane) {
  const KvLayout layout = LayoutOf(args.kv);
  const std::int64_t pieces = args.qkv.rows * args.kv.kv_heads;
  for (std::int64_t p = TakeTicket(lane); p < pieces; p = TakeTicket(lane))
    FinishGroup(args, layout, p / args.kv.kv_heads, p % args.kv.kv_heads);
}

}  // namespace avx512
}  // namespace conclave
