// The unit of the KV cache: one block holds k and v of kKvBlockTokens positions of one layer, for
// all kv heads. Its layout is known to the kernel set alone.
#pragma once

#include <cstddef>

#include "base/float_types.h"
#include "base/limits.h"

namespace conclave {

struct KvShape {
  int kv_heads = 0;
  int head_dim = 0;
  DType dtype = DType::kBf16;  // kBf16 or kF32
};

// Bytes of one block of one layer; a multiple of 64.
using KvBlockBytesFn = std::size_t (*)(const KvShape&);

}  // namespace conclave
