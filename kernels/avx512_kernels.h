// Entry points of the *_avx512.cc files, for avx512_set.cc. Contracts: the headers of kernel_set.h.
#pragma once

#include "kernels/kernel_set.h"

namespace conclave::avx512 {

std::size_t PackedBytes(std::int64_t n, std::int64_t k);
void Pack(const PackArgs& args, const Lane& lane);
std::size_t PackedFfnBytes(std::int64_t hidden, std::int64_t width);
void PackFfn(const PackFfnArgs& args);
std::size_t KvBlockBytes(const KvShape& shape);

void Embed(const EmbedArgs& args, const Lane& lane);
void RmsNorm(const RmsNormArgs& args, const Lane& lane);
void Linear(const LinearArgs& args, const Lane& lane);
void LinearAdd(const LinearArgs& args, const Lane& lane);
void QkvFinish(const QkvFinishArgs& args, const Lane& lane);
void Attention(const AttentionArgs& args, const Lane& lane);
void FfnUp(const FfnUpArgs& args, const Lane& lane);
void FfnDown(const FfnDownArgs& args, const Lane& lane);
void Combine(const CombineArgs& args, const Lane& lane);
void SliceStats(const LogitStatsArgs& args, const Lane& lane);

}  // namespace conclave::avx512
