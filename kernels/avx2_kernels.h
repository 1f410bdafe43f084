// Entry points of the *_avx2.cc files, for avx2_set.cc. Contracts: the headers of kernel_set.h.
#pragma once

#include "kernels/kernel_set.h"

namespace conclave::avx2 {

std::size_t PackedBytes(std::int64_t n, std::int64_t k);
void Pack(const PackArgs& args, const Lane& lane);
std::size_t PackedFfnBytes(std::int64_t hidden, std::int64_t width);
void PackFfn(const PackFfnArgs& args);

void RmsNorm(const RmsNormArgs& args, const Lane& lane);
void Linear(const LinearArgs& args, const Lane& lane);
void LinearAdd(const LinearArgs& args, const Lane& lane);
void Attention(const AttentionArgs& args, const Lane& lane);
void FfnUp(const FfnUpArgs& args, const Lane& lane);
void FfnDown(const FfnDownArgs& args, const Lane& lane);

}  // namespace conclave::avx2
