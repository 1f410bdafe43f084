// A KV cache filled through a set's own qkv_finish: its layout is nobody else's business.
#pragma once

#include <span>

#include "kernels/kernel_set.h"
#include "tests/kernels/memory.h"
#include "tests/kernels/values.h"

namespace conclave::conformance {

struct KvFill {
  KvShape kv;
  std::byte* layer;
  std::span<const KvPlace> places;
  const Grid& keys;    // [places, kv_heads * head_dim]: written as they are, without norm or turn
  const Grid& values;  // the same shape
};
void FillCache(const KernelSet& kernels, const KvFill& fill);

}  // namespace conclave::conformance
