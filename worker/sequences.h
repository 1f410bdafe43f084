// The sequences on this worker: token ids (prompt, then sampled), block table, and how many
// positions are computed. A step first stages the changes of its part, then runs, and commits them
// at its end. A broken step is rolled back and can be run again.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/ids.h"
#include "base/limits.h"
#include "protocol/plan.h"

namespace conclave {

struct Sequence {
  SeqId id;
  SamplingParams sampling;
  std::int32_t prompt_tokens = 0;
  std::vector<TokenId> tokens;
  std::vector<BlockId> blocks;
  std::int32_t computed = 0;  // K and V of positions below are in the cache

  // What the running step does to it.
  bool opening = false;
  bool closing = false;
  bool stepping = false;        // has a chunk
  std::size_t blocks_kept = 0;  // before the step
};

class Sequences {
 public:
  struct Limits {
    std::int32_t sequences_max = 0;
    std::int32_t kv_blocks = 0;
    std::int32_t vocab = 0;
    std::int32_t context = 0;
  };
  explicit Sequences(const Limits& limits);

  // Closes, opens, then chunks. InvalidArgument says what is wrong with the part; everything is
  // rolled back then.
  absl::Status Stage(const WorkerPart& part);
  // Of chunk i of the staged part. Valid until Commit or Rollback.
  Sequence& OfChunk(std::size_t chunk) { return slots_[chunk_slots_[chunk]]; }
  void Commit(const WorkerPart& part, std::span<const SampledToken> sampled);
  void Rollback();

  int open() const { return static_cast<int>(index_.size()); }
  const Sequence* Find(SeqId id) const;  // null when not open

 private:
  using SlotIndex = std::uint32_t;
  absl::Status StageAll(const WorkerPart& part);
  absl::Status StageClose(SeqId id);
  absl::Status StageOpen(const SequenceOpen& open);
  absl::Status StageChunk(const Chunk& chunk);
  absl::Status CheckOpen(const SequenceOpen& open) const;
  absl::Status CheckSampling(const SamplingParams& sampling) const;
  absl::Status CheckChunk(const Chunk& chunk, const Sequence& sequence) const;
  absl::Status CheckBlocks(std::span<const BlockId> blocks) const;
  absl::Status CheckTokens(std::span<const TokenId> tokens) const;
  std::vector<std::pair<SeqId, SlotIndex>>::iterator At(SeqId id);
  void Remove(SeqId id);

  Limits limits_;
  std::vector<Sequence> slots_;  // twice sequences_max: what a step closes is kept until it is done
  std::vector<SlotIndex> free_;
  std::vector<std::pair<SeqId, SlotIndex>> index_;  // rising id
  std::vector<SlotIndex> touched_;                  // by the staged part
  std::vector<SlotIndex> chunk_slots_;
  int closing_ = 0;
};

}  // namespace conclave
