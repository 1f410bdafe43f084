#include "coordinator/kv_blocks.h"

#include <algorithm>

#include "base/check.h"
#include "base/hash.h"

namespace conclave {

std::uint64_t HashOfBlock(std::span<const TokenId> tokens) {
  return HashBytes(std::as_bytes(tokens));
}

KvBlocks::KvBlocks(int total, bool prefix_cache)
    : total_(total), prefix_cache_(prefix_cache), entries_(static_cast<std::size_t>(total)) {
  CONCLAVE_CHECK(total >= 0, "%d blocks", total);
  if (prefix_cache) tokens_.resize(static_cast<std::size_t>(total) * kKvBlockTokens);
  free_.reserve(entries_.size());
  for (int id = total; id > 0; --id) free_.push_back(BlockId{id - 1});
}

KvBlocks::Entry& KvBlocks::At(BlockId block) {
  CONCLAVE_CHECK(block.value >= 0 && block.value < total_, "block %d of %d", block.value, total_);
  return entries_[static_cast<std::size_t>(block.value)];
}

const KvBlocks::Entry& KvBlocks::At(BlockId block) const {
  return const_cast<KvBlocks*>(this)->At(block);
}

std::span<TokenId> KvBlocks::TokensOf(BlockId block) {
  return std::span(tokens_).subspan(static_cast<std::size_t>(block.value) * kKvBlockTokens,
                                    kKvBlockTokens);
}

std::span<const TokenId> KvBlocks::TokensOf(BlockId block) const {
  return const_cast<KvBlocks*>(this)->TokensOf(block);
}

void KvBlocks::Append(BlockId block) {
  Entry& entry = At(block);
  entry.older = newest_;
  entry.newer = -1;
  if (newest_ >= 0) At(BlockId{newest_}).newer = block.value;
  newest_ = block.value;
  if (oldest_ < 0) oldest_ = block.value;
  ++cached_;
}

void KvBlocks::Unlink(BlockId block) {
  Entry& entry = At(block);
  (entry.older >= 0 ? At(BlockId{entry.older}).newer : oldest_) = entry.newer;
  (entry.newer >= 0 ? At(BlockId{entry.newer}).older : newest_) = entry.older;
  entry.older = entry.newer = -1;
  --cached_;
}

void KvBlocks::Unpublish(BlockId block) {
  Entry& entry = At(block);
  CONCLAVE_CHECK(entry.published, "block %d", block.value);
  published_.erase(entry.key);
  entry.published = false;
}

std::optional<BlockId> KvBlocks::Take() {
  BlockId block;
  if (!free_.empty()) {
    block = free_.back();
    free_.pop_back();
  } else if (oldest_ >= 0) {
    block = BlockId{oldest_};
    Unlink(block);
    Unpublish(block);
  } else {
    return std::nullopt;
  }
  Entry& entry = At(block);
  CONCLAVE_CHECK(entry.holders == 0 && !entry.published, "block %d is not free", block.value);
  entry.holders = 1;
  return block;
}

void KvBlocks::Share(BlockId block) {
  Entry& entry = At(block);
  if (entry.holders == 0) {
    CONCLAVE_CHECK(entry.published, "block %d holds nothing to share", block.value);
    Unlink(block);
  }
  ++entry.holders;
}

void KvBlocks::Release(BlockId block) {
  Entry& entry = At(block);
  CONCLAVE_CHECK(entry.holders > 0, "block %d is not held", block.value);
  if (--entry.holders > 0) return;
  if (entry.published) {
    Append(block);
  } else {
    free_.push_back(block);
  }
}

ContentId KvBlocks::Publish(const Filled& filled) {
  if (!prefix_cache_) return filled.before;
  CONCLAVE_CHECK(filled.tokens.size() == kKvBlockTokens, "%zu tokens", filled.tokens.size());
  Entry& entry = At(filled.block);
  CONCLAVE_CHECK(entry.holders > 0, "block %d is not held", filled.block.value);
  if (entry.published) return entry.content;
  const std::uint64_t key = Mix(filled.before.value, filled.hash);
  const auto [known, fresh] = published_.try_emplace(key, filled.block.value);
  if (!fresh) {
    const BlockId twin{known->second};
    const bool same =
        At(twin).before == filled.before && std::ranges::equal(TokensOf(twin), filled.tokens);
    // Two texts with one hash: the newcomer stays private, under an id that nothing leads to.
    return same ? At(twin).content : ContentId{++last_content_.value};
  }
  entry.published = true;
  entry.key = key;
  entry.before = filled.before;
  entry.content = ContentId{++last_content_.value};
  entry.filled = filled.step;
  std::ranges::copy(filled.tokens, TokensOf(filled.block).begin());
  return entry.content;
}

template <typename Visit>
void KvBlocks::ForEachKnown(const Wanted& wanted, const Visit& visit) const {
  if (!prefix_cache_) return;
  ContentId before;
  for (std::size_t i = 0; i < static_cast<std::size_t>(std::max(0, wanted.blocks_max)); ++i) {
    const auto known = published_.find(Mix(before.value, wanted.hashes[i]));
    if (known == published_.end()) return;
    const BlockId block{known->second};
    const Entry& entry = At(block);
    const auto tokens = wanted.tokens.subspan(i * kKvBlockTokens, kKvBlockTokens);
    if (entry.before != before || !std::ranges::equal(TokensOf(block), tokens)) return;
    if (entry.filled >= wanted.before) return;
    before = entry.content;
    visit(block, entry);
  }
}

PrefixMatch KvBlocks::Find(const Wanted& wanted) const {
  PrefixMatch match;
  ForEachKnown(wanted, [&](BlockId block, const Entry& entry) {
    match.blocks.push_back(block);
    match.chain.push_back(entry.content);
  });
  return match;
}

PrefixCount KvBlocks::Count(const Wanted& wanted) const {
  PrefixCount count;
  ForEachKnown(wanted, [&](BlockId, const Entry& entry) {
    ++count.blocks;
    if (entry.holders == 0) ++count.idle;
  });
  return count;
}

void KvBlocks::ForgetFilledAfter(StepId last) {
  for (int id = 0; id < total_; ++id) {
    const BlockId block{id};
    const Entry& entry = At(block);
    if (!entry.published || entry.filled <= last) continue;
    Unpublish(block);
    if (entry.holders > 0) continue;
    Unlink(block);
    free_.push_back(block);
  }
}

void KvBlocks::CheckInvariants() const {
  int held = 0, cached = 0, published = 0;
  for (const Entry& entry : entries_) {
    CONCLAVE_CHECK(entry.holders >= 0);
    held += entry.holders > 0 ? 1 : 0;
    cached += entry.holders == 0 && entry.published ? 1 : 0;
    published += entry.published ? 1 : 0;
  }
  int listed = 0;
  for (std::int32_t id = oldest_; id >= 0; id = At(BlockId{id}).newer) {
    CONCLAVE_CHECK(At(BlockId{id}).holders == 0 && At(BlockId{id}).published, "block %d", id);
    ++listed;
  }
  CONCLAVE_CHECK(cached == cached_ && listed == cached_, "%d cached, %d listed", cached, listed);
  CONCLAVE_CHECK(published_.size() == static_cast<std::size_t>(published));
  CONCLAVE_CHECK(held + cached + static_cast<int>(free_.size()) == total_, "%d held of %d", held,
                 total_);
  for (const BlockId block : free_) {
    CONCLAVE_CHECK(At(block).holders == 0 && !At(block).published, "block %d", block.value);
  }
}

}  // namespace conclave
