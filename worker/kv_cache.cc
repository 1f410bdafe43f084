#include "worker/kv_cache.h"

#include <algorithm>
#include <string>

#include "base/check.h"

namespace conclave {
namespace {

constexpr std::size_t kAheadBytes = std::size_t{8} << 20;  // of each layer: a few huge pages

}  // namespace

KvCache::KvCache(const Args& args)
    : shape_{args.model.kv_heads, args.model.head_dim, args.dtype},
      blocks_(args.blocks),
      block_bytes_(args.kernels.kv_block_bytes(shape_)),
      layer_bytes_(block_bytes_ * static_cast<std::size_t>(args.blocks)),
      layers_(static_cast<int>(args.model.layers.size())),
      memory_(args.memory),
      ahead_(std::max(2, static_cast<std::int32_t>(kAheadBytes / block_bytes_))) {
  CONCLAVE_CHECK(args.blocks >= 0, "%d blocks", args.blocks);
  absl::StatusOr<MemoryBlock> bytes =
      MemoryBlock::From(args.memory, layer_bytes_ * args.model.layers.size());
  CONCLAVE_CHECK(bytes.ok(), "%s", std::string(bytes.status().message()).c_str());
  bytes_ = *std::move(bytes);
  ready_ = std::min(blocks_, ahead_);
  for (int l = 0; l < layers_; ++l) {
    Touch({layer(l), static_cast<std::size_t>(ready_) * block_bytes_});
  }
}

void KvCache::Use(std::int32_t block) {
  if (block < ready_ - ahead_ / 2 || ready_ == blocks_) return;
  const std::int32_t ready = std::min(blocks_, std::max(block, ready_) + ahead_);
  for (int l = 0; l < layers_; ++l) {
    memory_.Expect({layer(l) + static_cast<std::size_t>(ready_) * block_bytes_,
                    static_cast<std::size_t>(ready - ready_) * block_bytes_});
  }
  ready_ = ready;
}

}  // namespace conclave
