// The AVX2 set: float activations, bf16 weights, float sums. What is not worth an AVX2 version is
// the reference's, named as a hole where SelectKernels can see it; the cache keeps the reference's
// layout, so that its qkv_finish writes what this set's attention reads.
#include "kernels/avx2_kernels.h"
#include "kernels/ref_set.h"

namespace conclave {
namespace {

constexpr KernelSet kAvx2Kernels = {
    .name = "avx2",
    .activation = DType::kF32,
    .weight = DType::kBf16,
    .packed_bytes = avx2::PackedBytes,
    .pack = avx2::Pack,
    .packed_ffn_bytes = avx2::PackedFfnBytes,
    .pack_ffn = avx2::PackFfn,
    .kv_block_bytes = ref::KvBlockBytes,
    .embed = nullptr,
    .rms_norm = avx2::RmsNorm,
    .linear = avx2::Linear,
    .linear_add = avx2::LinearAdd,
    .qkv_finish = ref::QkvFinish,
    .attention = avx2::Attention,
    .router_topk = nullptr,
    .ffn_up = avx2::FfnUp,
    .ffn_down = avx2::FfnDown,
    .combine = nullptr,
    .logit_stats = nullptr,
};

}  // namespace

const KernelSet* Avx2KernelsOrNull() {
  const bool usable = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                      __builtin_cpu_supports("f16c");
  return usable ? &kAvx2Kernels : nullptr;
}

}  // namespace conclave
