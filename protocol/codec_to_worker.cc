// Coordinator -> worker.
#include <string>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/status.h"
#include "protocol/codec_parts.h"

namespace conclave::codec {
namespace {

void Put(const Welcome& in, pb::ToWorker& out) {
  auto& welcome = *out.mutable_welcome();
  welcome.set_slot(in.slot.value);
  welcome.set_heartbeat_micros(in.heartbeat_micros);
}

template <typename Message>
void PutPeers(const std::vector<ViewPeer>& in, Message& out) {
  for (const ViewPeer& peer : in) {
    auto& p = *out.add_peers();
    p.set_slot(peer.slot.value);
    p.set_uuid(peer.uuid);
    p.set_address(peer.address);
  }
}

void PutPlacement(const Placement& in, pb::Placement& out) {
  out.set_moe_layers(in.moe_layers());
  out.set_experts(in.experts());
  out.set_owners(in.packed().owners);
  out.set_shares(in.packed().shares);
  out.set_homes(in.packed().homes);
}

void Put(const Prepare& in, pb::ToWorker& out) {
  auto& prepare = *out.mutable_prepare();
  SetEpoch(in.epoch, prepare);
  PutPeers(in.peers, prepare);
  PutPlacement(in.placement, *prepare.mutable_placement());
}

void Put(const Load& in, pb::ToWorker& out) {
  auto& load = *out.mutable_load();
  SetEpoch(in.epoch, load);
  load.set_slot(in.slot.value);
  PutPlacement(in.placement, *load.mutable_placement());
}

void Put(const Preload& in, pb::ToWorker& out) {
  auto& preload = *out.mutable_preload();
  SetEpoch(in.epoch, preload);
  preload.set_slot(in.slot.value);
  preload.set_drop(in.drop);
  PutPlacement(in.placement, *preload.mutable_placement());
}

void Put(const Connect& in, pb::ToWorker& out) {
  SetEpoch(in.epoch, *out.mutable_connect());
  PutPeers(in.peers, *out.mutable_connect());
}

void Put(const RecorderAsked& in, pb::ToWorker& out) {
  out.mutable_recorder_asked()->set_ticket(in.ticket);
}

void Put(const Commit& in, pb::ToWorker& out) {
  SetEpoch(in.epoch, *out.mutable_commit());
  out.mutable_commit()->set_first_step(in.first_step.value);
}

void PutSampling(const SamplingParams& in, pb::Sampling& out) {
  out.set_temperature(in.temperature);
  out.set_top_k(in.top_k);
  out.set_top_p(in.top_p);
  out.set_min_p(in.min_p);
  out.set_repetition_penalty(in.repetition_penalty);
  out.set_presence_penalty(in.presence_penalty);
  out.set_frequency_penalty(in.frequency_penalty);
  for (const auto& [id, bias] : in.logit_bias) {
    out.add_bias_ids(id);
    out.add_bias_values(bias);
  }
  out.set_seed(in.seed);
  out.mutable_stop_ids()->Add(in.stop_ids.begin(), in.stop_ids.end());
  out.set_min_tokens(in.min_tokens);
  if (in.logprobs) out.set_logprobs(*in.logprobs);
  if (in.prompt_logprobs) out.set_prompt_logprobs(*in.prompt_logprobs);
  out.set_routed_experts(in.routed_experts);
}

void Put(const StepAsk& in, pb::ToWorker& out) {
  auto& ask = *out.mutable_step_ask();
  SetEpoch(in.epoch, ask);
  ask.set_step(in.step.value);
  ask.set_digest(in.digest);
  ask.mutable_part_digests()->Add(in.part_digests.begin(), in.part_digests.end());
  ask.mutable_part_rows()->Add(in.part_rows.begin(), in.part_rows.end());
  ask.set_part_index(in.part_index);
  ask.set_rounds(in.rounds);
  ask.set_slot(in.part.slot.value);
  for (const SeqId seq : in.part.closes) ask.add_closes(seq.value);
  for (const SequenceOpen& open : in.part.opens) {
    auto& o = *ask.add_opens();
    o.set_seq(open.seq.value);
    PutSampling(open.sampling, *o.mutable_sampling());
    o.set_prompt_tokens(open.prompt_tokens);
    o.mutable_tokens()->Add(open.tokens.begin(), open.tokens.end());
    for (const BlockId block : open.blocks) o.add_blocks(block.value);
  }
  for (const Chunk& chunk : in.part.chunks) {
    auto& c = *ask.add_chunks();
    c.set_seq(chunk.seq.value);
    c.set_begin(chunk.begin);
    c.set_count(chunk.count);
    c.set_sample(chunk.sample);
    for (const BlockId block : chunk.new_blocks) c.add_new_blocks(block.value);
  }
}

void Put(const Goodbye& in, pb::ToWorker& out) {
  out.mutable_goodbye()->set_reason(in.reason);
  out.mutable_goodbye()->set_refused(in.refused);
}

absl::StatusOr<ToWorker> Get(const pb::Welcome& in) {
  RETURN_IF_ERROR(InRange("welcome.slot", in.slot(), 0, kSlotsMax - 1));
  RETURN_IF_ERROR(InRange("welcome.heartbeat_micros", in.heartbeat_micros(), 1, 60'000'000));
  return Welcome{.slot = Slot{in.slot()}, .heartbeat_micros = in.heartbeat_micros()};
}

template <typename Message>
absl::StatusOr<std::vector<ViewPeer>> GetPeers(const std::string& of, const Message& in) {
  std::vector<ViewPeer> peers;
  RETURN_IF_ERROR(
      AtMost((of + ".peers").c_str(), static_cast<std::size_t>(in.peers_size()), kSlotsMax));
  for (const auto& peer : in.peers()) {
    RETURN_IF_ERROR(InRange((of + ".peers.slot").c_str(), peer.slot(), 0, kSlotsMax - 1));
    if (!peers.empty() && peers.back().slot.value >= peer.slot()) {
      return absl::InvalidArgumentError(of + ".peers are not in rising slot order");
    }
    peers.push_back({.slot = Slot{peer.slot()}, .uuid = peer.uuid(), .address = peer.address()});
  }
  return peers;
}

absl::StatusOr<Placement> GetPlacement(const std::string& of, const pb::Placement& in) {
  RETURN_IF_ERROR(InRange((of + ".moe_layers").c_str(), in.moe_layers(), 0, kLayersMax));
  RETURN_IF_ERROR(InRange((of + ".experts").c_str(), in.experts(), 0, kExpertsMax));
  absl::StatusOr<Placement> placement = Placement::Unpack(
      in.moe_layers(), in.experts(),
      {.owners = in.owners(), .shares = in.shares(), .homes = in.homes()});
  if (placement.ok()) return placement;
  return absl::InvalidArgumentError(absl::StrCat(of, ": ", placement.status().message()));
}

absl::StatusOr<ToWorker> Get(const pb::Prepare& in) {
  Prepare out{.epoch = EpochOf(in), .peers = {}, .placement = {}};
  ASSIGN_OR_RETURN(out.peers, GetPeers("prepare", in));
  ASSIGN_OR_RETURN(out.placement, GetPlacement("prepare.placement", in.placement()));
  return out;
}

absl::StatusOr<ToWorker> Get(const pb::Load& in) {
  RETURN_IF_ERROR(InRange("load.slot", in.slot(), 0, kSlotsMax - 1));
  Load out{.epoch = EpochOf(in), .slot = Slot{in.slot()}, .placement = {}};
  ASSIGN_OR_RETURN(out.placement, GetPlacement("load.placement", in.placement()));
  return out;
}

absl::StatusOr<ToWorker> Get(const pb::Preload& in) {
  RETURN_IF_ERROR(InRange("preload.slot", in.slot(), 0, kSlotsMax - 1));
  Preload out{
      .epoch = EpochOf(in), .slot = Slot{in.slot()}, .placement = {}, .drop = in.drop()};
  ASSIGN_OR_RETURN(out.placement, GetPlacement("preload.placement", in.placement()));
  return out;
}

absl::StatusOr<ToWorker> Get(const pb::Connect& in) {
  Connect out{.epoch = EpochOf(in), .peers = {}};
  ASSIGN_OR_RETURN(out.peers, GetPeers("connect", in));
  return out;
}

absl::StatusOr<SamplingParams> GetSampling(const pb::Sampling& in) {
  SamplingParams out;
  out.temperature = in.temperature();
  out.top_k = in.top_k();
  out.top_p = in.top_p();
  out.min_p = in.min_p();
  out.repetition_penalty = in.repetition_penalty();
  out.presence_penalty = in.presence_penalty();
  out.frequency_penalty = in.frequency_penalty();
  RETURN_IF_ERROR(
      AtMost("sampling.logit_bias", static_cast<std::size_t>(in.bias_ids_size()), kLogitBiasMax));
  if (in.bias_ids_size() != in.bias_values_size()) {
    return absl::InvalidArgumentError("sampling.logit_bias has unequal ids and values");
  }
  for (int i = 0; i < in.bias_ids_size(); ++i)
    out.logit_bias.emplace_back(in.bias_ids(i), in.bias_values(i));
  out.seed = in.seed();
  RETURN_IF_ERROR(
      AtMost("sampling.stop_ids", static_cast<std::size_t>(in.stop_ids_size()), 2 * kStopIdsMax));
  out.stop_ids.assign(in.stop_ids().begin(), in.stop_ids().end());
  out.min_tokens = in.min_tokens();
  if (in.has_logprobs()) {
    RETURN_IF_ERROR(InRange("sampling.logprobs", in.logprobs(), 0, kLogprobsMax));
    out.logprobs = in.logprobs();
  }
  if (in.has_prompt_logprobs()) {
    RETURN_IF_ERROR(InRange("sampling.prompt_logprobs", in.prompt_logprobs(), 0, kLogprobsMax));
    out.prompt_logprobs = in.prompt_logprobs();
  }
  out.routed_experts = in.routed_experts();
  return out;
}

absl::StatusOr<ToWorker> Get(const pb::StepAsk& in) {
  StepAsk out{.epoch = EpochOf(in), .step = StepId{in.step()}, .digest = in.digest()};
  RETURN_IF_ERROR(
      AtMost("step.part_digests", static_cast<std::size_t>(in.part_digests_size()), kSlotsMax));
  out.part_digests.assign(in.part_digests().begin(), in.part_digests().end());
  RETURN_IF_ERROR(InRange("step.part_rows size", in.part_rows_size(), in.part_digests_size(),
                          in.part_digests_size()));
  for (const std::int32_t rows : in.part_rows()) {
    RETURN_IF_ERROR(InRange("step.part_rows", rows, 0, kWorkerRowsMax));
  }
  out.part_rows.assign(in.part_rows().begin(), in.part_rows().end());
  RETURN_IF_ERROR(InRange("step.part_index", in.part_index(), 0, in.part_digests_size() - 1));
  out.part_index = in.part_index();
  RETURN_IF_ERROR(InRange("step.rounds", in.rounds(), 1, kRoundsMax));
  out.rounds = in.rounds();
  RETURN_IF_ERROR(InRange("step.slot", in.slot(), 0, kSlotsMax - 1));
  out.part.slot = Slot{in.slot()};
  out.part.closes = Ids<SeqId>(in.closes());
  for (const auto& open : in.opens()) {
    RETURN_IF_ERROR(
        AtMost("step.opens.tokens", static_cast<std::size_t>(open.tokens_size()), kContextMax));
    RETURN_IF_ERROR(
        InRange("step.opens.prompt_tokens", open.prompt_tokens(), 1, open.tokens_size()));
    ASSIGN_OR_RETURN(SamplingParams sampling, GetSampling(open.sampling()));
    out.part.opens.push_back({.seq = SeqId{open.seq()},
                              .sampling = std::move(sampling),
                              .prompt_tokens = open.prompt_tokens(),
                              .tokens = {open.tokens().begin(), open.tokens().end()},
                              .blocks = Ids<BlockId>(open.blocks())});
  }
  for (const auto& chunk : in.chunks()) {
    RETURN_IF_ERROR(InRange("step.chunks.begin", chunk.begin(), 0, kContextMax));
    RETURN_IF_ERROR(InRange("step.chunks.count", chunk.count(), 1, kWorkerRowsMax));
    out.part.chunks.push_back({.seq = SeqId{chunk.seq()},
                               .begin = chunk.begin(),
                               .count = chunk.count(),
                               .sample = chunk.sample(),
                               .new_blocks = Ids<BlockId>(chunk.new_blocks())});
  }
  return out;
}

}  // namespace

void ToProto(const ToWorker& message, pb::ToWorker& out) {
  std::visit([&](const auto& in) { Put(in, out); }, message);
}

absl::StatusOr<ToWorker> FromProto(const pb::ToWorker& in) {
  switch (in.message_case()) {
    case pb::ToWorker::kWelcome:
      return Get(in.welcome());
    case pb::ToWorker::kPrepare:
      return Get(in.prepare());
    case pb::ToWorker::kCommit:
      return Commit{.epoch = EpochOf(in.commit()),
                    .first_step = StepId{in.commit().first_step()}};
    case pb::ToWorker::kStepAsk:
      return Get(in.step_ask());
    case pb::ToWorker::kGoodbye:
      return Goodbye{.reason = in.goodbye().reason(), .refused = in.goodbye().refused()};
    case pb::ToWorker::kLoad:
      return Get(in.load());
    case pb::ToWorker::kConnect:
      return Get(in.connect());
    case pb::ToWorker::kPreload:
      return Get(in.preload());
    case pb::ToWorker::kRecorderAsked:
      return RecorderAsked{.ticket = in.recorder_asked().ticket()};
    case pb::ToWorker::MESSAGE_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("message is not set, or of a newer version");
}

}  // namespace conclave::codec
