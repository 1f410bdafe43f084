#include "cli/bench_plan.h"

#include <algorithm>

#include "base/check.h"
#include "base/limits.h"

namespace conclave {
namespace {

int CeilDiv(int a, int b) { return (a + b - 1) / b; }

}  // namespace

BenchPlans::BenchPlans(const BenchShape& shape)
    : shape_(shape),
      per_worker_(CeilDiv(shape.batch, shape.workers)),
      rows_max_(std::max(std::max(1, shape.step_rows / shape.workers), per_worker_)),
      blocks_each_(
          CeilDiv(std::max(shape.prompt, shape.depth) + shape.generate + 2, kKvBlockTokens)),
      closing_(static_cast<std::size_t>(shape.workers)) {
  CONCLAVE_CHECK(shape.workers > 0 && shape.batch > 0 && shape.prompt > 0 && shape.vocab > 0,
                 "an empty shape");
}

int BenchPlans::kv_blocks() const { return per_worker_ * blocks_each_; }

int BenchPlans::SlotOf(std::size_t index) const { return static_cast<int>(index) % shape_.workers; }

int BenchPlans::FirstBlockOf(std::size_t index) const {
  return static_cast<int>(index) / shape_.workers * blocks_each_;
}

void BenchPlans::Renew(int tokens) {
  for (std::size_t i = 0; i < sequences_.size(); ++i) {
    if (sequences_[i].opened) {
      closing_[static_cast<std::size_t>(SlotOf(i))].push_back(sequences_[i].id);
    }
  }
  sequences_.assign(static_cast<std::size_t>(shape_.batch), {});
  for (Sequence& sequence : sequences_) {
    sequence.id = SeqId{next_id_++};
    // A walk over the vocabulary that differs by sequence: routing sees many kinds of rows.
    std::uint64_t state = sequence.id.value * 0x9e3779b97f4a7c15ULL;
    for (int t = 0; t < tokens; ++t) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      const std::uint64_t pick = (state >> 33) % static_cast<std::uint64_t>(shape_.vocab);
      sequence.tokens.push_back(static_cast<TokenId>(pick));
    }
    sequence.tokens_in_all = tokens;
  }
}

BenchPlans::Parts BenchPlans::EmptyParts() {
  Parts parts(static_cast<std::size_t>(shape_.workers));
  for (std::size_t slot = 0; slot < parts.size(); ++slot) {
    parts[slot].slot = Slot{static_cast<std::int32_t>(slot)};
    parts[slot].closes = std::exchange(closing_[slot], {});
  }
  return parts;
}

void BenchPlans::AddOpen(std::size_t index, int blocks, WorkerPart& part) {
  Sequence& sequence = sequences_[index];
  SequenceOpen open;
  open.seq = sequence.id;
  open.sampling.temperature = 0;
  open.prompt_tokens = sequence.tokens_in_all;
  open.tokens = std::exchange(sequence.tokens, {});
  for (int b = 0; b < blocks; ++b) open.blocks.push_back(BlockId{FirstBlockOf(index) + b});
  sequence.opened = true;
  sequence.blocks = blocks;
  sequence.computed = blocks * kKvBlockTokens;
  part.opens.push_back(std::move(open));
}

void BenchPlans::AddChunk(std::size_t index, int count, WorkerPart& part) {
  Sequence& sequence = sequences_[index];
  Chunk chunk;
  chunk.seq = sequence.id;
  chunk.begin = sequence.computed;
  chunk.count = count;
  sequence.computed += count;
  chunk.sample = sequence.computed == sequence.tokens_in_all;
  if (chunk.sample) ++sequence.tokens_in_all;
  while (sequence.blocks * kKvBlockTokens < sequence.computed) {
    chunk.new_blocks.push_back(BlockId{FirstBlockOf(index) + sequence.blocks++});
  }
  part.chunks.push_back(std::move(chunk));
}

void BenchPlans::OpenPrompts() { Renew(shape_.prompt); }

std::optional<BenchPlans::Parts> BenchPlans::Prefill() {
  Parts parts = EmptyParts();
  bool any = false;
  for (std::size_t i = 0; i < sequences_.size(); ++i) {
    WorkerPart& part = parts[static_cast<std::size_t>(SlotOf(i))];
    Sequence& sequence = sequences_[i];
    const int left = shape_.prompt - sequence.computed;
    const int count = std::min(left, rows_max_ - static_cast<int>(part.rows()));
    if (count <= 0) continue;
    if (!sequence.opened) AddOpen(i, 0, part);
    AddChunk(i, count, part);
    any = true;
  }
  if (!any) return std::nullopt;
  return parts;
}

void BenchPlans::OpenAtDepth() { Renew(shape_.depth / kKvBlockTokens * kKvBlockTokens + 1); }

BenchPlans::Parts BenchPlans::Decode() {
  Parts parts = EmptyParts();
  for (std::size_t i = 0; i < sequences_.size(); ++i) {
    WorkerPart& part = parts[static_cast<std::size_t>(SlotOf(i))];
    if (!sequences_[i].opened) {
      AddOpen(i, (sequences_[i].tokens_in_all - 1) / kKvBlockTokens, part);
    }
    AddChunk(i, 1, part);
  }
  return parts;
}

}  // namespace conclave
