// K and V of every position of this worker's sequences: for each layer an array of blocks. Which
// block belongs to whom is the coordinator's business.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernel_set.h"
#include "model/config.h"
#include "worker/memory.h"

namespace conclave {

class KvCache {
 public:
  struct Args {
    const ModelConfig& model;
    const KernelSet& kernels;
    DType dtype = DType::kBf16;
    std::int32_t blocks = 0;  // of each layer; 0: no memory
    Memory& memory;
  };
  // CHECKs that the memory is there: it is reserved at start.
  explicit KvCache(const Args& args);

  // Announces that a step uses this block. Block ids rise slowly, so the memory of the next ones can
  // be prefaulted before a step needs it. The constructor does so for the first few.
  void Use(std::int32_t block);

  std::byte* layer(int index) const {
    return bytes_.data() + static_cast<std::size_t>(index) * layer_bytes_;
  }
  const KvShape& shape() const { return shape_; }
  std::int32_t blocks() const { return blocks_; }
  std::size_t block_bytes() const { return block_bytes_; }  // of one layer

 private:
  KvShape shape_;
  std::int32_t blocks_;
  std::size_t block_bytes_;
  std::size_t layer_bytes_;
  int layers_;
  Memory& memory_;
  std::int32_t ahead_;      // how many blocks are prefaulted at a time
  std::int32_t ready_ = 0;  // blocks below this one are prefaulted, or soon will be
  MemoryBlock bytes_;
};

}  // namespace conclave
