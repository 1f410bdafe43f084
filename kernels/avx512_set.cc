// The AVX-512 set: bf16 activations and weights, float sums.
#include "kernels/avx512_kernels.h"

namespace conclave {
namespace {

constexpr KernelSet kAvx512Kernels = {
    .name = "avx512",
    .activation = DType::kBf16,
    .weight = DType::kBf16,
    .packed_bytes = avx512::PackedBytes,
    .pack = avx512::Pack,
    .packed_ffn_bytes = avx512::PackedFfnBytes,
    .pack_ffn = avx512::PackFfn,
    .kv_block_bytes = avx512::KvBlockBytes,
    .embed = avx512::Embed,
    .rms_norm = avx512::RmsNorm,
    .linear = avx512::Linear,
    .linear_add = avx512::LinearAdd,
    .qkv_finish = avx512::QkvFinish,
    .attention = avx512::Attention,
    .router_topk = nullptr,  // the reference's: its exp is base/numeric.h's in every set
    .ffn_up = avx512::FfnUp,
    .ffn_down = avx512::FfnDown,
    .combine = avx512::Combine,
    .logit_stats = avx512::SliceStats,
};

}  // namespace

const KernelSet* Avx512KernelsOrNull() {
  const bool usable = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx2") &&
                      __builtin_cpu_supports("fma");
  return usable ? &kAvx512Kernels : nullptr;
}

}  // namespace conclave
