#include "coordinator/kv_blocks.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/philox.h"

namespace conclave {
namespace {

std::vector<TokenId> TextOf(int blocks, int salt) {
  std::vector<TokenId> tokens;
  for (int i = 0; i < blocks * kKvBlockTokens; ++i) tokens.push_back(i / kKvBlockTokens + salt);
  return tokens;
}

struct Held {
  std::vector<BlockId> blocks;
  std::vector<ContentId> chain;
};

// Takes and publishes the whole blocks of a text.
Held Fill(KvBlocks& pool, const std::vector<TokenId>& tokens, StepId step) {
  Held held;
  for (std::size_t at = 0; at < tokens.size(); at += kKvBlockTokens) {
    const std::span block = std::span(tokens).subspan(at, kKvBlockTokens);
    held.blocks.push_back(*pool.Take());
    held.chain.push_back(
        pool.Publish({.block = held.blocks.back(),
                      .before = held.chain.empty() ? ContentId{} : held.chain.back(),
                      .tokens = block,
                      .hash = HashOfBlock(block),
                      .step = step}));
  }
  return held;
}

void Release(KvBlocks& pool, const Held& held) {
  for (auto block = held.blocks.rbegin(); block != held.blocks.rend(); ++block) {
    pool.Release(*block);
  }
}

struct Known : PrefixMatch {
  int idle = 0;
};

Known Find(const KvBlocks& pool, const std::vector<TokenId>& tokens, StepId before) {
  std::vector<std::uint64_t> hashes;
  for (std::size_t at = 0; at < tokens.size(); at += kKvBlockTokens) {
    hashes.push_back(HashOfBlock(std::span(tokens).subspan(at, kKvBlockTokens)));
  }
  const KvBlocks::Wanted wanted = {.tokens = tokens,
                                   .hashes = hashes,
                                   .blocks_max = static_cast<int>(hashes.size()),
                                   .before = before};
  const PrefixCount count = pool.Count(wanted);
  Known known{pool.Find(wanted), count.idle};
  EXPECT_EQ(known.blocks.size(), static_cast<std::size_t>(count.blocks));
  return known;
}

TEST(KvBlocks, EveryBlockIsTakenOnceAndComesBack) {
  KvBlocks pool(5, true);
  std::vector<bool> seen(5);
  for (int i = 0; i < 5; ++i) {
    const BlockId block = *pool.Take();
    EXPECT_FALSE(seen[static_cast<std::size_t>(block.value)]);
    seen[static_cast<std::size_t>(block.value)] = true;
  }
  EXPECT_FALSE(pool.Take().has_value());
  EXPECT_EQ(pool.held(), 5);
  for (int i = 0; i < 5; ++i) pool.Release(BlockId{i});
  EXPECT_EQ(pool.available(), 5);
  EXPECT_EQ(pool.cached(), 0);
  pool.CheckInvariants();
}

TEST(KvBlocks, AKnownPrefixIsFoundByLaterStepsOnly) {
  KvBlocks pool(8, true);
  const auto tokens = TextOf(3, 1);
  const Held held = Fill(pool, tokens, StepId{4});
  EXPECT_EQ(Find(pool, tokens, StepId{4}).blocks.size(), 0u);
  EXPECT_EQ(Find(pool, tokens, StepId{5}).blocks, held.blocks);
  auto other = tokens;
  other[kKvBlockTokens + 3] ^= 1;
  EXPECT_EQ(Find(pool, other, StepId{5}).blocks.size(), 1u);
  // The same block of text after another beginning is another content.
  const auto shifted = std::vector<TokenId>(tokens.begin() + kKvBlockTokens, tokens.end());
  EXPECT_EQ(Find(pool, shifted, StepId{5}).blocks.size(), 0u);
}

TEST(KvBlocks, IdleBlocksAreCountedAndCanBeShared) {
  KvBlocks pool(4, true);
  const auto tokens = TextOf(2, 1);
  Release(pool, Fill(pool, tokens, StepId{1}));
  EXPECT_EQ(pool.cached(), 2);
  const Known match = Find(pool, tokens, StepId{2});
  EXPECT_EQ(match.idle, 2);
  for (const BlockId block : match.blocks) pool.Share(block);
  EXPECT_EQ(pool.cached(), 0);
  EXPECT_EQ(pool.available(), 2);
  pool.Share(match.blocks[0]);
  pool.Release(match.blocks[0]);
  EXPECT_EQ(pool.Holders(match.blocks[0]), 1);
  pool.CheckInvariants();
}

TEST(KvBlocks, TheOldestCachedTextGoesFirstAndItsEndBeforeItsBeginning) {
  KvBlocks pool(4, true);
  const auto first = TextOf(2, 1);
  const auto second = TextOf(2, 9);
  const Held a = Fill(pool, first, StepId{1});
  const Held b = Fill(pool, second, StepId{1});
  Release(pool, a);
  Release(pool, b);
  EXPECT_EQ(pool.Take(), a.blocks[1]);
  EXPECT_EQ(Find(pool, first, StepId{2}).blocks.size(), 1u);
  EXPECT_EQ(pool.Take(), a.blocks[0]);
  EXPECT_EQ(Find(pool, first, StepId{2}).blocks.size(), 0u);
  EXPECT_EQ(Find(pool, second, StepId{2}).blocks.size(), 2u);
  pool.CheckInvariants();
}

TEST(KvBlocks, TwinsLeadToOneChain) {
  KvBlocks pool(6, true);
  const auto tokens = TextOf(2, 1);
  const Held a = Fill(pool, tokens, StepId{1});
  const Held b = Fill(pool, tokens, StepId{1});
  EXPECT_EQ(a.chain, b.chain);
  Release(pool, b);
  EXPECT_EQ(pool.cached(), 0) << "the twin's blocks were never published";
  Release(pool, a);
  EXPECT_EQ(pool.cached(), 2);
}

TEST(KvBlocks, WhatAStepThatNeverRanWasToWriteIsForgotten) {
  KvBlocks pool(6, true);
  const auto old_text = TextOf(1, 1);
  const auto new_text = TextOf(2, 9);
  Release(pool, Fill(pool, old_text, StepId{3}));
  const Held held = Fill(pool, new_text, StepId{4});
  pool.Release(held.blocks[1]);
  pool.ForgetFilledAfter(StepId{3});
  EXPECT_EQ(Find(pool, old_text, StepId{9}).blocks.size(), 1u);
  EXPECT_EQ(Find(pool, new_text, StepId{9}).blocks.size(), 0u);
  EXPECT_EQ(pool.held(), 1);
  EXPECT_EQ(pool.cached(), 1);
  pool.CheckInvariants();
}

TEST(KvBlocks, WithoutTheCacheNothingIsKept) {
  KvBlocks pool(4, false);
  const auto tokens = TextOf(2, 1);
  Release(pool, Fill(pool, tokens, StepId{1}));
  EXPECT_EQ(pool.cached(), 0);
  EXPECT_EQ(Find(pool, tokens, StepId{9}).blocks.size(), 0u);
}

TEST(KvBlocks, ConservationOverRandomUse) {
  Rng rng(5);
  KvBlocks pool(20, true);
  std::vector<Held> all;
  for (int i = 0; i < 4000; ++i) {
    const auto tokens = TextOf(1 + static_cast<int>(rng.Below(4)), static_cast<int>(rng.Below(6)));
    const auto need = static_cast<int>(tokens.size() / kKvBlockTokens);
    if (rng.Uniform() < 0.5 && pool.available() >= need) {
      all.push_back(Fill(pool, tokens, StepId{static_cast<std::uint64_t>(i)}));
    } else if (!all.empty()) {
      const auto at = rng.Below(all.size());
      Release(pool, all[at]);
      all.erase(all.begin() + static_cast<std::ptrdiff_t>(at));
    }
    pool.CheckInvariants();
  }
  for (const Held& held : all) Release(pool, held);
  EXPECT_EQ(pool.available(), 20);
}

}  // namespace
}  // namespace conclave
