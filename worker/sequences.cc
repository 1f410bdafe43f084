#include "worker/sequences.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status.h"

namespace conclave {
namespace {

// Room for this many tokens beyond those a sequence opens with; after that, vectors double.
constexpr std::size_t kTokensReserve = 1024;
// A slot whose sequence needed more than this gives the memory back when it closes.
constexpr std::size_t kTokensKept = 16384;

}  // namespace

Sequences::Sequences(const Limits& limits) : limits_(limits) {
  const auto slots = 2 * static_cast<std::size_t>(limits.sequences_max);
  slots_.resize(slots);
  index_.reserve(slots);
  free_.reserve(slots);
  touched_.reserve(2 * slots);
  chunk_slots_.reserve(slots);
  for (std::size_t i = slots; i > 0; --i) free_.push_back(static_cast<SlotIndex>(i - 1));
}

std::vector<std::pair<SeqId, Sequences::SlotIndex>>::iterator Sequences::At(SeqId id) {
  return std::ranges::lower_bound(index_, id, {}, &std::pair<SeqId, SlotIndex>::first);
}

const Sequence* Sequences::Find(SeqId id) const {
  const auto at = std::ranges::lower_bound(index_, id, {}, &std::pair<SeqId, SlotIndex>::first);
  return at == index_.end() || at->first != id ? nullptr : &slots_[at->second];
}

void Sequences::Remove(SeqId id) {
  const auto at = At(id);
  CONCLAVE_CHECK(at != index_.end() && at->first == id, "sequence %llu",
                 static_cast<unsigned long long>(id.value));
  Sequence& sequence = slots_[at->second];
  if (sequence.tokens.capacity() > kTokensKept) {
    sequence.tokens = {};
    sequence.blocks = {};
  }
  free_.push_back(at->second);
  index_.erase(at);
}

absl::Status Sequences::Stage(const WorkerPart& part) {
  CONCLAVE_CHECK(touched_.empty(), "a part is staged already");
  chunk_slots_.clear();
  absl::Status status = StageAll(part);
  if (!status.ok()) Rollback();
  return status;
}

absl::Status Sequences::StageAll(const WorkerPart& part) {
  for (const SeqId id : part.closes) RETURN_IF_ERROR(StageClose(id));
  for (const SequenceOpen& open : part.opens) RETURN_IF_ERROR(StageOpen(open));
  for (const Chunk& chunk : part.chunks) RETURN_IF_ERROR(StageChunk(chunk));
  return absl::OkStatus();
}

absl::Status Sequences::StageClose(SeqId id) {
  const auto at = At(id);
  if (at == index_.end() || at->first != id) {
    return absl::InvalidArgumentError(absl::StrCat("close of unknown sequence ", id.value));
  }
  Sequence& sequence = slots_[at->second];
  if (sequence.closing) {
    return absl::InvalidArgumentError(absl::StrCat("sequence ", id.value, " is closed twice"));
  }
  sequence.closing = true;
  sequence.blocks_kept = sequence.blocks.size();
  ++closing_;
  touched_.push_back(at->second);
  return absl::OkStatus();
}

absl::Status Sequences::StageOpen(const SequenceOpen& open) {
  RETURN_IF_ERROR(CheckOpen(open));
  const auto at = At(open.seq);
  if (at != index_.end() && at->first == open.seq) {
    return absl::InvalidArgumentError(
        absl::StrCat("sequence ", open.seq.value, " is open already"));
  }
  if (static_cast<std::int32_t>(index_.size()) - closing_ >= limits_.sequences_max) {
    return absl::InvalidArgumentError(absl::StrCat("sequence ", open.seq.value, ": ",
                                                   limits_.sequences_max, " are open already"));
  }
  CONCLAVE_CHECK(!free_.empty(), "no slot for a sequence");
  const SlotIndex slot = free_.back();
  free_.pop_back();
  index_.insert(at, {open.seq, slot});
  touched_.push_back(slot);
  Sequence& sequence = slots_[slot];
  sequence.id = open.seq;
  sequence.sampling = open.sampling;
  sequence.prompt_tokens = open.prompt_tokens;
  const std::size_t room = open.tokens.size() + kTokensReserve;
  sequence.tokens.reserve(room);
  sequence.tokens.assign(open.tokens.begin(), open.tokens.end());
  sequence.blocks.reserve(room / kKvBlockTokens + 1);
  sequence.blocks.assign(open.blocks.begin(), open.blocks.end());
  sequence.computed = static_cast<std::int32_t>(open.blocks.size()) * kKvBlockTokens;
  sequence.opening = true;
  sequence.closing = false;
  sequence.stepping = false;
  sequence.blocks_kept = sequence.blocks.size();
  return absl::OkStatus();
}

absl::Status Sequences::StageChunk(const Chunk& chunk) {
  const auto at = At(chunk.seq);
  if (at == index_.end() || at->first != chunk.seq || slots_[at->second].closing) {
    return absl::InvalidArgumentError(absl::StrCat("chunk of unknown sequence ", chunk.seq.value));
  }
  Sequence& sequence = slots_[at->second];
  RETURN_IF_ERROR(CheckChunk(chunk, sequence));
  if (!sequence.opening) {
    sequence.blocks_kept = sequence.blocks.size();
    touched_.push_back(at->second);
  }
  sequence.stepping = true;
  sequence.blocks.insert(sequence.blocks.end(), chunk.new_blocks.begin(), chunk.new_blocks.end());
  chunk_slots_.push_back(at->second);
  return absl::OkStatus();
}

void Sequences::Commit(const WorkerPart& part, std::span<const SampledToken> sampled) {
  for (std::size_t i = 0; i < part.chunks.size(); ++i) {
    Sequence& sequence = OfChunk(i);
    const Chunk& chunk = part.chunks[i];
    sequence.computed = std::max(sequence.computed, chunk.begin + chunk.count);
  }
  for (const SampledToken& token : sampled) {
    const auto at = At(token.seq);
    CONCLAVE_CHECK(at != index_.end() && at->first == token.seq, "sampled for no sequence");
    Sequence& sequence = slots_[at->second];
    CONCLAVE_CHECK(token.position == static_cast<std::int32_t>(sequence.tokens.size()),
                   "sampled position %d of %zu", token.position, sequence.tokens.size());
    sequence.tokens.push_back(token.token);
  }
  for (const SlotIndex slot : touched_) {
    slots_[slot].opening = false;
    slots_[slot].stepping = false;
  }
  for (const SeqId id : part.closes) Remove(id);
  touched_.clear();
  closing_ = 0;
}

void Sequences::Rollback() {
  for (const SlotIndex slot : touched_) {
    Sequence& sequence = slots_[slot];
    sequence.blocks.resize(sequence.blocks_kept);
    sequence.closing = false;
    sequence.stepping = false;
    if (sequence.opening) Remove(sequence.id);
    sequence.opening = false;
  }
  touched_.clear();
  closing_ = 0;
}

}  // namespace conclave
