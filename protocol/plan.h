// A step, as the coordinator plans it and the workers execute it.
//
// A worker keeps the token ids (prompt, then sampled) and the block table of every sequence. A plan
// says only what changes: sequences opened and closed, and which positions to run. So a plan can be
// made before the result of the previous one is known: "position p" of a decode row is the token
// that the worker sampled one step before. Within a part the order is closes, opens, chunks.
#pragma once

#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "protocol/sampling.h"

namespace conclave {

struct SequenceOpen {
  SeqId seq;
  SamplingParams sampling;
  // How many of `tokens`, counted from the first, are the prompt. The others were emitted before
  // and are computed again.
  std::int32_t prompt_tokens = 0;
  std::vector<TokenId> tokens;
  std::vector<BlockId> blocks;  // already holding K and V (prefix cache hits); may be empty
  friend bool operator==(const SequenceOpen&, const SequenceOpen&) = default;
};

// Run positions [begin, begin + count) of a sequence. K and V of every position before `begin` are
// in its blocks.
struct Chunk {
  SeqId seq;
  std::int32_t begin = 0;
  std::int32_t count = 0;
  bool sample = false;              // sample the token at position begin + count from the last row
  std::vector<BlockId> new_blocks;  // appended to the block table first
  friend bool operator==(const Chunk&, const Chunk&) = default;
};

struct WorkerPart {
  Slot slot;
  std::vector<SeqId> closes;
  std::vector<SequenceOpen> opens;
  std::vector<Chunk> chunks;
  std::int64_t rows() const;
  friend bool operator==(const WorkerPart&, const WorkerPart&) = default;
};

// The whole plan. Every live worker has a part, even an empty one, in rising order of worker ids.
struct StepPlan {
  Epoch epoch;
  StepId step;
  std::vector<WorkerPart> parts;
  std::int32_t rounds = 1;  // of every MoE layer's exchange: see protocol/rounds.h
};

// The digest of one part: a hash of everything it says.
std::uint64_t DigestOf(const WorkerPart& part);

// What one worker is sent: its own part and every part's digest. The worker recomputes the digest of
// its part and of the plan before it enters the first exchange; every frame carries the plan's.
struct StepAsk {
  Epoch epoch;
  StepId step;
  std::uint64_t digest = 0;
  std::vector<std::uint64_t> part_digests;  // in the order of the plan's parts
  std::vector<std::int32_t> part_rows;      // rows of every part: they bound what can arrive
  std::int32_t part_index = 0;              // the index of `part`'s entries in these two
  std::int32_t rounds = 1;                  // as the plan says
  WorkerPart part;
  std::int64_t rows_in_all() const;  // over all parts
  friend bool operator==(const StepAsk&, const StepAsk&) = default;
};
std::vector<StepAsk> AsksFor(const StepPlan& plan);  // one per part, in order
// The plan's hash, from what every worker is told of it: epoch, step, rounds, and the rows and
// hashes of all parts. Equal for all asks of one plan.
std::uint64_t PlanDigest(const StepAsk& ask);

struct TopLogprob {
  TokenId id = 0;
  float logprob = 0;
  friend bool operator==(const TopLogprob&, const TopLogprob&) = default;
};
// Of the model's own distribution: before temperature, penalties and bias.
struct TokenLogprob {
  TokenId id = 0;
  float logprob = 0;
  std::vector<TopLogprob> top;  // best first (logit descending, id ascending)
  friend bool operator==(const TokenLogprob&, const TokenLogprob&) = default;
};

struct SampledToken {
  SeqId seq;
  std::int32_t position = 0;  // index of this token in the sequence
  TokenId token = 0;
  bool has_logprob = false;
  TokenLogprob logprob;
  friend bool operator==(const SampledToken&, const SampledToken&) = default;
};

struct PromptLogprobs {
  SeqId seq;
  std::int32_t begin = 0;  // entry i is of the prompt token at position begin + i
  std::vector<TokenLogprob> entries;
  friend bool operator==(const PromptLogprobs&, const PromptLogprobs&) = default;
};

struct RoutedExperts {
  SeqId seq;
  std::int32_t begin = 0;
  std::int32_t positions = 0;
  std::vector<std::uint16_t> ids;  // [positions][moe layers][topk], best first
  friend bool operator==(const RoutedExperts&, const RoutedExperts&) = default;
};

struct PhaseTime {
  std::uint8_t phase = 0;  // index into kPhaseNames
  std::uint64_t micros = 0;
  std::uint64_t bytes = 0;
  std::uint64_t ops = 0;
  friend bool operator==(const PhaseTime&, const PhaseTime&) = default;
};
inline constexpr const char* kPhaseNames[] = {"embed",   "attend",   "route",   "dispatch",
                                              "experts", "sendback", "combine", "dense",
                                              "logits",  "sample",   "exchange"};

struct StepResult {
  Epoch epoch;
  StepId step;
  Slot slot;
  std::uint64_t digest = 0;
  std::vector<SampledToken> sampled;
  std::vector<PromptLogprobs> prompt_logprobs;
  std::vector<RoutedExperts> routed;
  std::vector<PhaseTime> phases;
  std::uint64_t bytes_sent = 0;       // of frames to other workers, headers included
  std::uint64_t bytes_received = 0;   // of frames from other workers
  std::uint32_t bad_router_rows = 0;  // rows whose router logits are not numbers, once per layer
  // Rows run per (MoE layer, expert) since the last result that had them. Row-major [layers,
  // experts]; empty in most results.
  std::vector<std::uint32_t> expert_rows;
  friend bool operator==(const StepResult&, const StepResult&) = default;
};

}  // namespace conclave
