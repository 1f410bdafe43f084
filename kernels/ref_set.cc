// The reference set: straight-line code that says what each kernel means. Every pointer is set.
#include "kernels/ref_set.h"

namespace conclave {

const KernelSet kRefKernels = {
    .name = "ref",
    .activation = DType::kF32,
    .weight = DType::kF32,
    .packed_bytes = ref::PackedBytes,
    .pack = ref::Pack,
    .packed_ffn_bytes = ref::PackedFfnBytes,
    .pack_ffn = ref::PackFfn,
    .kv_block_bytes = ref::KvBlockBytes,
    .embed = ref::Embed,
    .rms_norm = ref::RmsNorm,
    .linear = ref::Linear,
    .linear_add = ref::LinearAdd,
    .qkv_finish = ref::QkvFinish,
    .attention = ref::Attention,
    .router_topk = ref::RouterTopk,
    .ffn_up = ref::FfnUp,
    .ffn_down = ref::FfnDown,
    .combine = ref::Combine,
    .logit_stats = ref::LogitStats,
};

}  // namespace conclave
