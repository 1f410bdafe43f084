#include "worker/kv_cache.h"

#include <string>

#include "base/check.h"

namespace conclave {

KvCache::KvCache(const Args& args)
    : shape_{args.model.kv_heads, args.model.head_dim, args.dtype},
      blocks_(args.blocks),
      block_bytes_(args.kernels.kv_block_bytes(shape_)),
      layer_bytes_(block_bytes_ * static_cast<std::size_t>(args.blocks)) {
  CONCLAVE_CHECK(args.blocks >= 0, "%d blocks", args.blocks);
  absl::StatusOr<MemoryBlock> bytes =
      MemoryBlock::From(args.memory, layer_bytes_ * args.model.layers.size());
  CONCLAVE_CHECK(bytes.ok(), "%s", std::string(bytes.status().message()).c_str());
  bytes_ = *std::move(bytes);
}

}  // namespace conclave
