// The KV blocks of one worker, as the coordinator accounts for them: which are free, how many
// sequences hold each, and which hold a known piece of text that others may share.
//
// Prefix cache: a block full of known tokens is published under (what came before it, its tokens).
// "What came before" is the ContentId of the preceding block, a number given once and never again,
// and the tokens themselves are kept and compared, so that a hit is never a hash collision.
// A published block that nobody holds is cached: it stays until its room is needed, least recently
// released first. Conservation: free + cached + held == total, always.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/ids.h"
#include "base/limits.h"

namespace conclave {

using ContentId = Id<struct ContentTag, std::uint64_t>;  // 0: the beginning, nothing before

// Hash of one block's tokens, alone.
std::uint64_t HashOfBlock(std::span<const TokenId> tokens);

// How much of a prefix is known.
struct PrefixCount {
  std::int32_t blocks = 0;
  std::int32_t idle = 0;  // blocks of it that nobody holds: sharing them uses room
};

struct PrefixMatch {
  std::vector<BlockId> blocks;
  std::vector<ContentId> chain;  // parallel to blocks
};

class KvBlocks {
 public:
  KvBlocks(int total, bool prefix_cache);

  int total() const { return total_; }
  int held() const { return total_ - available(); }
  int cached() const { return cached_; }
  int available() const { return static_cast<int>(free_.size()) + cached_; }

  // A block for one holder; forgets the oldest cached text if need be. Nothing when all are held.
  std::optional<BlockId> Take();
  void Share(BlockId block);    // one holder more
  void Release(BlockId block);  // one fewer

  struct Filled {
    BlockId block;
    ContentId before;
    std::span<const TokenId> tokens;  // exactly kKvBlockTokens
    std::uint64_t hash = 0;           // HashOfBlock(tokens)
    StepId step;                      // the step that writes its last position
  };
  // Makes a held block shareable. Answers the content's id: an older one if the same text is known.
  ContentId Publish(const Filled& filled);
  // The longest run of whole blocks from position 0 that is known, `blocks_max` at most, written
  // by steps before `before`. `hashes` has HashOfBlock of each whole block of `tokens`.
  struct Wanted {
    std::span<const TokenId> tokens;
    std::span<const std::uint64_t> hashes;
    int blocks_max = 0;
    StepId before;
  };
  PrefixMatch Find(const Wanted& wanted) const;
  PrefixCount Count(const Wanted& wanted) const;  // of the same run; allocates nothing
  // Steps after `last` never ran: what they were to write is not there.
  void ForgetFilledAfter(StepId last);

  int Holders(BlockId block) const { return At(block).holders; }
  void CheckInvariants() const;

 private:
  struct Entry {
    std::int32_t holders = 0;
    bool published = false;
    std::uint64_t key = 0;
    ContentId before, content;
    StepId filled;
    std::int32_t older = -1, newer = -1;  // cached blocks form a list by time of release
  };
  Entry& At(BlockId block);
  const Entry& At(BlockId block) const;
  std::span<TokenId> TokensOf(BlockId block);
  std::span<const TokenId> TokensOf(BlockId block) const;
  template <typename Visit>
  void ForEachKnown(const Wanted& wanted, const Visit& visit) const;
  void Append(BlockId block);  // to the list of cached blocks
  void Unlink(BlockId block);
  void Unpublish(BlockId block);

  const int total_;
  const bool prefix_cache_;
  std::vector<Entry> entries_;
  std::vector<TokenId> tokens_;  // [total][kKvBlockTokens]
  std::vector<BlockId> free_;    // a stack
  int cached_ = 0;
  std::int32_t oldest_ = -1, newest_ = -1;
  ContentId last_content_;
  absl::flat_hash_map<std::uint64_t, std::int32_t> published_;  // looked up, never walked
};

}  // namespace conclave
