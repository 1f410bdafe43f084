#include "sim/fake_worker.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/hash.h"
#include "base/limits.h"
#include "protocol/rounds.h"

namespace conclave {

std::uint64_t ContentOf(std::uint64_t before, TokenId token) {
  return Mix(before + 1, static_cast<std::uint64_t>(token) + 1);
}

TokenId NextToken(std::uint64_t content, std::int32_t vocab) {
  return static_cast<TokenId>(Mix(content, 77) % static_cast<std::uint64_t>(vocab));
}

std::vector<TokenId> Oracle(std::span<const TokenId> prompt, int count, std::int32_t vocab) {
  std::uint64_t content = 0;
  for (const TokenId token : prompt) content = ContentOf(content, token);
  std::vector<TokenId> tokens;
  for (int i = 0; i < count; ++i) {
    tokens.push_back(NextToken(content, vocab));
    content = ContentOf(content, tokens.back());
  }
  return tokens;
}

std::uint16_t RoutedTo(std::uint64_t content, int layer, int k, std::int32_t experts) {
  const auto where = static_cast<std::uint64_t>(layer * 16 + k);
  return static_cast<std::uint16_t>(Mix(content, where) % static_cast<std::uint64_t>(experts));
}

std::vector<std::uint16_t> RoutedOf(std::span<const TokenId> fed) {
  const ModelFacts facts = FakeFacts();
  std::vector<std::uint16_t> routed;
  std::uint64_t content = 0;
  for (const TokenId token : fed) {
    content = ContentOf(content, token);
    for (int layer = 0; layer < facts.moe_layers; ++layer) {
      for (int k = 0; k < facts.topk; ++k) {
        routed.push_back(RoutedTo(content, layer, k, facts.experts));
      }
    }
  }
  return routed;
}

ModelFacts FakeFacts() {
  return {.identity = 42,
          .name = "fake",
          .vocab = 934,
          .context = 1024,
          .moe_layers = 2,
          .experts = 8,
          .topk = 2,
          .expert_bytes = 100};
}

FakeWorker::FakeWorker(Hello hello, Slot slot)
    : hello_(std::move(hello)),
      slot_(slot),
      standby_(hello_.standby_address),
      cells_(static_cast<std::size_t>(hello_.kv_blocks) * kKvBlockTokens) {}

void FakeWorker::Expect(bool condition, const std::string& what) {
  if (!condition) complaints_.push_back(absl::StrCat(hello_.uuid, ": ", what));
}

void FakeWorker::Hear(const ToWorker& message) {
  if (const auto* welcome = std::get_if<Welcome>(&message)) {
    slot_ = welcome->slot;
  } else if (const auto* prepare = std::get_if<Prepare>(&message)) {
    HearPrepare(*prepare);
  } else if (const auto* commit = std::get_if<Commit>(&message)) {
    Expect(commit->epoch == epoch_, "commit of another epoch");
    Expect(commit->first_step > last_done_, "commit goes back");
    committed_ = true;
    next_step_ = commit->first_step;
  } else if (const auto* ask = std::get_if<StepAsk>(&message)) {
    HearStep(*ask);
  } else if (const auto* load = std::get_if<Load>(&message)) {
    HearLoad(*load);
  } else if (const auto* connect = std::get_if<Connect>(&message)) {
    HearConnect(*connect);
  } else if (const auto* preload = std::get_if<Preload>(&message)) {
    Expect(preload->epoch == epoch_ && committed_, "preload for another epoch");
    Expect(preload->placement.Complete(), "an expert without owner");
    preloads_.push_back(*preload);
  } else {
    goodbye_ = std::get<Goodbye>(message);
    dismissed_ = true;
  }
}

void FakeWorker::HearLoad(const Load& load) {
  Expect(load.epoch > epoch_ && load.epoch > aside_, "an epoch number is used twice");
  Expect(load.slot == slot_, "another's slot");
  Expect(load.placement.Complete(), "an expert without owner");
  aside_ = load.epoch;
  aside_connected_ = false;
  aside_placement_ = load.placement;
  aside_address_ = absl::StrCat(hello_.uuid, "@", load.epoch.number);
  if (mute_aside) return;
  Loaded loaded{.epoch = aside_, .ok = !fail_load_aside, .error = {}, .address = aside_address_};
  if (fail_load_aside) loaded.error = "no memory";
  said_.push_back(loaded);
}

void FakeWorker::HearConnect(const Connect& connect) {
  Expect(connect.epoch == aside_, "connect of an epoch that was not loaded");
  Expect(std::ranges::is_sorted(connect.peers, std::less{}, &ViewPeer::slot), "peers' order");
  const auto self = std::ranges::find(connect.peers, slot_, &ViewPeer::slot);
  Expect(
      self != connect.peers.end() && self->uuid == hello_.uuid && self->address == aside_address_,
      "not in its own view");
  aside_peers_ = connect.peers;
  if (mute_aside) return;
  Connected connected{.epoch = aside_, .ok = true, .error = {}, .unreachable = {}};
  for (const ViewPeer& peer : connect.peers) {
    if (std::ranges::find(deaf_to, peer.slot) == deaf_to.end()) continue;
    connected.ok = false;
    connected.error = "no frame came";
    connected.unreachable.Add(peer.slot);
  }
  aside_connected_ = connected.ok;
  said_.push_back(connected);
}

void FakeWorker::HearPrepare(const Prepare& prepare) {
  Expect(prepare.epoch > epoch_, "epoch does not rise");
  Expect(prepare.placement.Complete(), "an expert without owner");
  Expect(std::ranges::is_sorted(prepare.peers, std::less{}, &ViewPeer::slot), "peers' order");
  const auto self = std::ranges::find(prepare.peers, slot_, &ViewPeer::slot);
  Expect(self != prepare.peers.end() && self->uuid == hello_.uuid, "not in its own view");
  epoch_ = prepare.epoch;
  prepare_ = prepare;
  committed_ = false;
  broken_ = false;
  steps_.clear();
  Ready ready{.epoch = epoch_, .last_step_done = last_done_};
  const bool beside = prepare.epoch == aside_;
  if (beside) {
    Expect(aside_connected_, "prepare of what is not connected");
    Expect(prepare.peers == aside_peers_ && prepare.placement == aside_placement_,
           "prepare of something else than what was connected");
  }
  if (beside && !fail_next_open) {
    ready.standby_address = standby_;
    said_.push_back(ready);
    return;
  }
  if (fail_load) {
    ready.ok = false;
    ready.error = "cannot load";
  } else if (self->address != standby_ || std::exchange(fail_next_open, false)) {
    ready.ok = false;
    ready.error = "the view has an old address";
  }
  // Opening used the standby address up, whether it went well or not.
  if (!fail_load) standby_ = absl::StrCat(hello_.uuid, "#", ++standbys_);
  ready.standby_address = standby_;
  said_.push_back(ready);
}

void FakeWorker::HearStep(const StepAsk& ask) {
  Expect(committed_ && ask.epoch == epoch_, "a step of another epoch");
  Expect(ask.step == next_step_, "steps have a gap");
  next_step_ = StepId{ask.step.value + 1};
  Expect(ask.part.slot == slot_, "another slot's part");
  const auto index = static_cast<std::size_t>(ask.part_index);
  Expect(index < ask.part_digests.size() && DigestOf(ask.part) == ask.part_digests[index],
         "digest of the part");
  Expect(PlanDigest(ask) == ask.digest, "digest of the plan");
  Expect(ask.part.rows() <= hello_.rows_max, "more rows than rows_max");
  Expect(RoundsFit(ask.part_rows, index, ask.rounds, hello_.arrivals_max),
         "more rows in a round than arrivals_max");
  Expect(ask.rows_in_all() > 0, "an empty step");
  if (broken_) return;  // nothing more of this epoch
  steps_.push_back(ask);
  Expect(steps_.size() <= kPlansAheadMax, "too many plans ahead");
}

void FakeWorker::BreakStep() {
  said_.push_back(StepBroken{epoch_, steps_.front().step, "broken on purpose"});
  steps_.clear();
  broken_ = true;
}

void FakeWorker::RunStep() {
  const StepAsk ask = std::move(steps_.front());
  steps_.pop_front();
  StepResult result{.epoch = ask.epoch, .step = ask.step, .slot = slot_, .digest = ask.digest};
  result.digest ^= digest_salt;
  for (const SeqId seq : ask.part.closes) {
    Expect(sequences_.erase(seq) == 1, absl::StrCat("close of unknown sequence ", seq.value));
  }
  for (const SequenceOpen& open : ask.part.opens) {
    Sequence sequence{.open = open, .tokens = open.tokens, .blocks = open.blocks};
    sequence.computed = static_cast<std::int32_t>(open.blocks.size()) * kKvBlockTokens;
    Expect(sequence.computed < static_cast<std::int32_t>(open.tokens.size()), "nothing to run");
    Expect(sequences_.emplace(open.seq, std::move(sequence)).second, "open of an open sequence");
  }
  for (const Chunk& chunk : ask.part.chunks) RunChunk(chunk, result);
  result.expert_rows = expert_rows;
  result.phases.push_back({.phase = 1, .micros = 2, .bytes = 3, .ops = 4});
  last_done_ = ask.step;
  ++steps_run_;
  said_.push_back(std::move(result));
}

void FakeWorker::RunChunk(const Chunk& chunk, StepResult& result) {
  const auto found = sequences_.find(chunk.seq);
  Expect(found != sequences_.end(), "chunk of an unknown sequence");
  if (found == sequences_.end()) return;
  Sequence& sequence = found->second;
  sequence.blocks.insert(sequence.blocks.end(), chunk.new_blocks.begin(), chunk.new_blocks.end());
  const std::int32_t end = chunk.begin + chunk.count;
  const auto tokens = static_cast<std::int32_t>(sequence.tokens.size());
  Expect(chunk.count > 0 && chunk.begin == sequence.computed, "positions are not contiguous");
  Expect(end <= tokens, "positions beyond the text");
  Expect(chunk.sample == (end == tokens), "sample at another place than the end");
  Expect(static_cast<std::int32_t>(sequence.blocks.size()) ==
             (end + kKvBlockTokens - 1) / kKvBlockTokens,
         "blocks are not what the positions need");
  if (!complaints_.empty()) return;
  for (std::int32_t position = chunk.begin; position < end; ++position) {
    Feed(sequence, position, chunk, result);
  }
  sequence.computed = end;
  Report(sequence, chunk, result);
}

void FakeWorker::Write(const Sequence& sequence, std::int32_t position, std::uint64_t content) {
  const auto block = static_cast<std::size_t>(
      sequence.blocks[static_cast<std::size_t>(position / kKvBlockTokens)].value);
  cells_[block * kKvBlockTokens + static_cast<std::size_t>(position % kKvBlockTokens)] = content;
}

std::uint64_t FakeWorker::Read(const Sequence& sequence, std::int32_t position) const {
  const auto block = static_cast<std::size_t>(
      sequence.blocks[static_cast<std::size_t>(position / kKvBlockTokens)].value);
  return cells_[block * kKvBlockTokens + static_cast<std::size_t>(position % kKvBlockTokens)];
}

// A block that is written to is in one sequence's table only.
void FakeWorker::CheckSharing(const Sequence& sequence, std::int32_t position) {
  const BlockId block = sequence.blocks[static_cast<std::size_t>(position / kKvBlockTokens)];
  int holders = 0;
  for (const auto& [id, other] : sequences_) {
    holders += static_cast<int>(std::ranges::count(other.blocks, block));
  }
  Expect(holders == 1, absl::StrCat("block ", block.value, " is written and shared"));
}

void FakeWorker::Feed(Sequence& sequence, std::int32_t position, const Chunk& chunk,
                      StepResult& result) {
  if (position == chunk.begin || position % kKvBlockTokens == 0) CheckSharing(sequence, position);
  const auto at = static_cast<std::size_t>(position);
  const std::uint64_t before = position == 0 ? 0 : Read(sequence, position - 1);
  Write(sequence, position, ContentOf(before, sequence.tokens[at]));
  if (position + 1 < chunk.begin + chunk.count) return;
  // Attention of the last row reads everything.
  std::uint64_t content = 0;
  for (std::int32_t p = 0; p <= position; ++p) {
    content = ContentOf(content, sequence.tokens[static_cast<std::size_t>(p)]);
    if (Read(sequence, p) != content) {
      Expect(false,
             absl::StrCat("sequence ", sequence.open.seq.value, " reads another text at ", p));
      return;
    }
  }
  if (!chunk.sample) return;
  SampledToken sampled{.seq = chunk.seq, .position = position + 1};
  sampled.token = NextToken(content, hello_.model.vocab);
  if (sequence.open.sampling.logprobs.has_value()) {
    sampled.has_logprob = true;
    sampled.logprob = {.id = sampled.token, .logprob = -1};
  }
  sequence.tokens.push_back(sampled.token);
  result.sampled.push_back(sampled);
}

void FakeWorker::Report(const Sequence& sequence, const Chunk& chunk, StepResult& result) {
  const SamplingParams& sampling = sequence.open.sampling;
  if (sampling.prompt_logprobs.has_value()) {
    PromptLogprobs prompt{.seq = chunk.seq, .begin = chunk.begin + 1};
    for (std::int32_t p = chunk.begin + 1;
         p <= chunk.begin + chunk.count && p < sequence.open.prompt_tokens; ++p) {
      prompt.entries.push_back(
          {.id = sequence.tokens[static_cast<std::size_t>(p)], .logprob = static_cast<float>(-p)});
    }
    if (!prompt.entries.empty()) result.prompt_logprobs.push_back(std::move(prompt));
  }
  if (!sampling.routed_experts) return;
  RoutedExperts routed{.seq = chunk.seq, .begin = chunk.begin, .positions = chunk.count};
  const ModelFacts& facts = hello_.model;
  for (std::int32_t p = chunk.begin; p < chunk.begin + chunk.count; ++p) {
    for (int layer = 0; layer < facts.moe_layers; ++layer) {
      for (int k = 0; k < facts.topk; ++k) {
        routed.ids.push_back(RoutedTo(Read(sequence, p), layer, k, facts.experts));
      }
    }
  }
  result.routed.push_back(std::move(routed));
}

}  // namespace conclave
