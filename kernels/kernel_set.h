// All kernels of one kind, chosen once at start. One set gives a request the same bits wherever it
// runs; two sets need not agree.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/attention/attention.h"
#include "kernels/combine/combine.h"
#include "kernels/embed/embed.h"
#include "kernels/ffn/ffn.h"
#include "kernels/kv_shape.h"
#include "kernels/linear/linear.h"
#include "kernels/logits/logit_stats.h"
#include "kernels/norm/rms_norm.h"
#include "kernels/qkv/qkv_finish.h"
#include "kernels/router/router_topk.h"

namespace conclave {

struct KernelSet {
  std::string_view name;  // "ref", "avx2", "avx512"
  DType activation;       // of Activations, and of rows on the wire
  DType weight;  // storage format of packed matrices; ref: kF32 (exact for every checkpoint dtype)

  PackedBytesFn packed_bytes;
  PackFn pack;
  PackedFfnBytesFn packed_ffn_bytes;
  PackFfnFn pack_ffn;
  KvBlockBytesFn kv_block_bytes;

  EmbedFn embed;
  RmsNormFn rms_norm;
  LinearFn linear;
  LinearFn linear_add;
  QkvFinishFn qkv_finish;
  AttentionFn attention;
  RouterTopkFn router_topk;
  FfnUpFn ffn_up;
  FfnDownFn ffn_down;
  CombineFn combine;
  LogitStatsFn logit_stats;
};

extern const KernelSet kRefKernels;  // every pointer set, always
const KernelSet*
Avx512KernelsOrNull();  // null when not built or not on this CPU (needs AVX-512 BW, VL, BF16)
const KernelSet*
Avx2KernelsOrNull();  // null when not built or not on this CPU (needs AVX2 and FMA)

enum class KernelChoice : std::uint8_t { kAuto, kRef, kAvx2, kAvx512, kCuda };
absl::StatusOr<KernelChoice> ParseKernelChoice(std::string_view name);

// The chosen set, in which a kernel that it lacks is taken from the reference set. `filled` gets the
// names of those kernels, for the log. FailedPrecondition when the set is not built or this CPU
// cannot run it.
absl::StatusOr<KernelSet> SelectKernels(KernelChoice choice, std::vector<std::string>& filled);
std::vector<std::string> KernelSetsHere();  // names usable on this machine, best first

// A hash of canonical rows through every kernel of the set: equal numbers mean equal bits. Sets the
// calling thread's float mode (below) and leaves it set.
std::uint64_t NumericsFingerprint(const KernelSet& kernels);

// Flush-to-zero and denormals-are-zero on, round to nearest: every thread that computes calls this
// first, so that all agree. Reference and fast sets alike.
void SetComputeThreadFloatMode();

}  // namespace conclave
