#include "worker/begin_step.h"

#include <algorithm>
#include <cstddef>

#include "base/check.h"
#include "base/status.h"

namespace conclave {
namespace {

// Expert loads travel with every so many results.
constexpr std::uint64_t kStepsPerExpertRows = 16;

void LayRows(StepContext& step) {
  Workspace& ws = step.ws;
  const std::vector<Chunk>& chunks = step.ask->part.chunks;
  std::size_t row = 0;
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    for (const BlockId block : chunks[i].new_blocks) step.kv.Use(block.value);
    const Sequence& sequence = step.sequences.OfChunk(i);
    ws.spans[i] = {.row_begin = static_cast<std::int64_t>(row),
                   .rows = chunks[i].count,
                   .position_begin = chunks[i].begin,
                   .blocks = sequence.blocks};
    for (std::int32_t p = chunks[i].begin; p < chunks[i].begin + chunks[i].count; ++p, ++row) {
      ws.token_ids[row] = sequence.tokens[static_cast<std::size_t>(p)];
      ws.positions[row] = p;
      ws.places[row] = {sequence.blocks[static_cast<std::size_t>(p / kKvBlockTokens)],
                        p % kKvBlockTokens};
    }
  }
  step.rows = static_cast<std::int64_t>(row);
}

// How many rows of a chunk predict a token of the prompt that is to be scored.
std::int32_t ScoredRows(const Chunk& chunk, const Sequence& sequence) {
  if (!sequence.sampling.prompt_logprobs.has_value()) return 0;
  return std::clamp(sequence.prompt_tokens - 1 - chunk.begin, 0, chunk.count);
}

void LayLogitRows(StepContext& step) {
  const std::vector<Chunk>& chunks = step.ask->part.chunks;
  std::size_t wanted = 0;
  std::int32_t samples = 0;
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    const Chunk& chunk = chunks[i];
    const Sequence& sequence = step.sequences.OfChunk(i);
    const auto first = static_cast<std::int32_t>(step.ws.spans[i].row_begin);
    LogitRow row{.row = first,
                 .chunk = static_cast<std::int32_t>(i),
                 .position = chunk.begin + 1,
                 .out = static_cast<std::int32_t>(step.result.prompt_logprobs.size()),
                 .sample = false};
    const std::int32_t scored = ScoredRows(chunk, sequence);
    for (std::int32_t r = 0; r < scored; ++r, ++row.row, ++row.position) {
      step.ws.logit_rows[wanted++] = row;
    }
    if (scored > 0) {
      step.result.prompt_logprobs.push_back({.seq = chunk.seq, .begin = chunk.begin + 1});
      step.result.prompt_logprobs.back().entries.resize(static_cast<std::size_t>(scored));
    }
    if (!chunk.sample) continue;
    step.ws.logit_rows[wanted++] = {.row = first + chunk.count - 1,
                                    .chunk = static_cast<std::int32_t>(i),
                                    .position = chunk.begin + chunk.count,
                                    .out = samples++,
                                    .sample = true};
  }
  step.result.sampled.resize(static_cast<std::size_t>(samples));
  step.logit_rows = static_cast<std::int64_t>(wanted);
}

void MakeRoomForRoutes(StepContext& step) {
  if (step.model.moe_layers == 0) return;
  const std::vector<Chunk>& chunks = step.ask->part.chunks;
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    if (!step.sequences.OfChunk(i).sampling.routed_experts) continue;
    const auto ids = static_cast<std::size_t>(chunks[i].count) *
                     static_cast<std::size_t>(step.model.moe_layers * step.model.topk);
    step.result.routed.push_back(
        {.seq = chunks[i].seq, .begin = chunks[i].begin, .positions = chunks[i].count});
    step.result.routed.back().ids.resize(ids);
  }
}

}  // namespace

absl::Status BeginStep(StepContext& step) {
  RETURN_IF_ERROR(step.sequences.Stage(step.ask->part));
  step.error = absl::OkStatus();
  step.result = StepResult{};
  step.times = {};
  step.bad_router_rows = 0;
  step.logits_done = 0;
  step.round = 0;
  LayRows(step);
  LayLogitRows(step);
  MakeRoomForRoutes(step);
  return absl::OkStatus();
}

void FinishStep(StepContext& step) {
  step.sequences.Commit(step.ask->part, step.result.sampled);
  StepResult& result = step.result;
  result.epoch = step.ask->epoch;
  result.step = step.ask->step;
  result.slot = step.ask->part.slot;
  result.digest = step.ask->digest;
  result.bad_router_rows = step.bad_router_rows.load(std::memory_order_relaxed);
  result.phases.reserve(kPhases);
  for (std::size_t i = 0; i < kPhases; ++i) {
    step.times[i].phase = static_cast<std::uint8_t>(i);
    if (step.times[i].micros == 0 && step.times[i].bytes == 0) continue;
    result.phases.push_back(step.times[i]);
  }
  if (step.ask->step.value % kStepsPerExpertRows == 0) {
    result.expert_rows = step.expert_rows;
    std::ranges::fill(step.expert_rows, 0u);
  }
}

void AbandonStep(StepContext& step) {
  step.sequences.Rollback();
  step.result = StepResult{};
}

}  // namespace conclave
