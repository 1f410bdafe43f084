// Worker -> coordinator.
#include <algorithm>
#include <cstring>

#include "base/limits.h"
#include "base/status.h"
#include "protocol/codec_parts.h"

namespace conclave::codec {
namespace {

void Put(const Hello& in, pb::FromWorker& out) {
  auto& hello = *out.mutable_hello();
  hello.set_wire_version(in.wire_version);
  hello.set_uuid(in.uuid);
  hello.set_role(in.role == Role::kWorker ? pb::ROLE_WORKER : pb::ROLE_EXPERT);
  hello.set_address(in.address);
  auto& model = *hello.mutable_model();
  model.set_identity(in.model.identity);
  model.set_name(in.model.name);
  model.set_vocab(in.model.vocab);
  model.set_context(in.model.context);
  model.set_moe_layers(in.model.moe_layers);
  model.set_experts(in.model.experts);
  model.set_topk(in.model.topk);
  model.set_expert_bytes(in.model.expert_bytes);
  hello.set_numerics(in.numerics);
  hello.set_kernels(in.kernels);
  hello.set_kv_dtype(in.kv_dtype);
  hello.set_exchange(in.exchange);
  hello.set_standby_address(in.standby_address);
  hello.set_kv_blocks(in.kv_blocks);
  hello.set_rows_max(in.rows_max);
  hello.set_arrivals_max(in.arrivals_max);
  hello.set_expert_memory_bytes(in.expert_memory_bytes);
  hello.set_threads(in.threads);
  hello.set_last_epoch(in.last_epoch.number);
  hello.set_last_term(in.last_epoch.term);
  if (in.last_slot >= 0) hello.set_last_slot(in.last_slot);
}

void Put(const Ready& in, pb::FromWorker& out) {
  auto& ready = *out.mutable_ready();
  SetEpoch(in.epoch, ready);
  ready.set_ok(in.ok);
  ready.set_error(in.error);
  ready.set_last_step_done(in.last_step_done.value);
  ready.set_standby_address(in.standby_address);
  ready.set_expert_bytes(in.expert_bytes);
}

void PutLogprob(const TokenLogprob& in, pb::TokenLogprob& out) {
  out.set_id(in.id);
  out.set_logprob(in.logprob);
  for (const TopLogprob& top : in.top) {
    out.add_top_ids(top.id);
    out.add_top_logprobs(top.logprob);
  }
}

void Put(const StepResult& in, pb::FromWorker& out) {
  auto& result = *out.mutable_step_result();
  SetEpoch(in.epoch, result);
  result.set_step(in.step.value);
  result.set_slot(in.slot.value);
  result.set_digest(in.digest);
  for (const SampledToken& sampled : in.sampled) {
    auto& s = *result.add_sampled();
    s.set_seq(sampled.seq.value);
    s.set_position(sampled.position);
    s.set_token(sampled.token);
    if (sampled.has_logprob) PutLogprob(sampled.logprob, *s.mutable_logprob());
  }
  for (const PromptLogprobs& prompt : in.prompt_logprobs) {
    auto& p = *result.add_prompt_logprobs();
    p.set_seq(prompt.seq.value);
    p.set_begin(prompt.begin);
    for (const TokenLogprob& entry : prompt.entries) PutLogprob(entry, *p.add_entries());
  }
  for (const RoutedExperts& routed : in.routed) {
    auto& r = *result.add_routed();
    r.set_seq(routed.seq.value);
    r.set_begin(routed.begin);
    r.set_positions(routed.positions);
    r.set_ids(routed.ids.data(), routed.ids.size() * sizeof(std::uint16_t));
  }
  for (const PhaseTime& phase : in.phases) {
    auto& p = *result.add_phases();
    p.set_phase(phase.phase);
    p.set_micros(phase.micros);
    p.set_bytes(phase.bytes);
    p.set_ops(phase.ops);
  }
  result.set_bytes_sent(in.bytes_sent);
  result.set_bytes_received(in.bytes_received);
  result.set_bad_router_rows(in.bad_router_rows);
  result.mutable_expert_rows()->Add(in.expert_rows.begin(), in.expert_rows.end());
}

void Put(const StepBroken& in, pb::FromWorker& out) {
  auto& broken = *out.mutable_step_broken();
  SetEpoch(in.epoch, broken);
  broken.set_step(in.step.value);
  broken.set_error(in.error);
}

template <typename Field>
void PutSlots(const SlotSet& in, Field& out) {
  if (!in.empty()) out.Add(in.bits.begin(), in.bits.end());
}

void Put(const Loaded& in, pb::FromWorker& out) {
  auto& loaded = *out.mutable_loaded();
  SetEpoch(in.epoch, loaded);
  loaded.set_ok(in.ok);
  loaded.set_error(in.error);
  loaded.set_address(in.address);
  loaded.set_expert_bytes(in.expert_bytes);
}

void Put(const Connected& in, pb::FromWorker& out) {
  auto& connected = *out.mutable_connected();
  SetEpoch(in.epoch, connected);
  connected.set_ok(in.ok);
  connected.set_error(in.error);
  PutSlots(in.unreachable, *connected.mutable_unreachable());
}

void Put(const RecorderTold& in, pb::FromWorker& out) {
  out.mutable_recorder_told()->set_ticket(in.ticket);
  out.mutable_recorder_told()->set_text(in.text);
}

void Put(const Heartbeat& in, pb::FromWorker& out) {
  auto& heartbeat = *out.mutable_heartbeat();
  SetEpoch(in.epoch, heartbeat);
  heartbeat.set_progress(in.progress);
  heartbeat.set_busy(in.busy);
  heartbeat.set_rss_bytes(in.rss_bytes);
  heartbeat.set_exchange(in.exchange);
  PutSlots(in.waits_for, *heartbeat.mutable_waits_for());
  heartbeat.set_looks(in.looks);
}

void Put(const LoadProgress& in, pb::FromWorker& out) {
  SetEpoch(in.epoch, *out.mutable_load_progress());
  out.mutable_load_progress()->set_expert_bytes(in.expert_bytes);
}

void Put(const LeaveAsked&, pb::FromWorker& out) { out.mutable_leave_asked(); }

absl::StatusOr<FromWorker> Get(const pb::Hello& in) {
  RETURN_IF_ERROR(AtMost("hello.uuid", in.uuid().size(), kRequestIdBytesMax));
  RETURN_IF_ERROR(AtMost("hello.address", in.address().size(), 1024));
  RETURN_IF_ERROR(AtMost("hello.standby_address", in.standby_address().size(), 1 << 20));
  RETURN_IF_ERROR(InRange("hello.role", in.role(), pb::ROLE_WORKER, pb::ROLE_EXPERT));
  RETURN_IF_ERROR(InRange("hello.kv_blocks", in.kv_blocks(), 0, INT32_MAX));
  RETURN_IF_ERROR(InRange("hello.rows_max", in.rows_max(), 0, kWorkerRowsMax));
  RETURN_IF_ERROR(InRange("hello.arrivals_max", in.arrivals_max(), 0, kArrivalsMax));
  RETURN_IF_ERROR(InRange("hello.model.moe_layers", in.model().moe_layers(), 0, kLayersMax));
  RETURN_IF_ERROR(InRange("hello.model.experts", in.model().experts(), 0, kExpertsMax));
  RETURN_IF_ERROR(InRange("hello.model.topk", in.model().topk(), 0, kTopkMax));
  if (in.has_last_slot()) {
    RETURN_IF_ERROR(InRange("hello.last_slot", in.last_slot(), 0, kSlotsMax - 1));
  }
  return Hello{.wire_version = in.wire_version(),
               .uuid = in.uuid(),
               .role = in.role() == pb::ROLE_WORKER ? Role::kWorker : Role::kExpert,
               .address = in.address(),
               .model = {.identity = in.model().identity(),
                         .name = in.model().name(),
                         .vocab = in.model().vocab(),
                         .context = in.model().context(),
                         .moe_layers = in.model().moe_layers(),
                         .experts = in.model().experts(),
                         .topk = in.model().topk(),
                         .expert_bytes = in.model().expert_bytes()},
               .numerics = in.numerics(),
               .kernels = in.kernels(),
               .kv_dtype = in.kv_dtype(),
               .exchange = in.exchange(),
               .standby_address = in.standby_address(),
               .kv_blocks = in.kv_blocks(),
               .rows_max = in.rows_max(),
               .arrivals_max = in.arrivals_max(),
               .expert_memory_bytes = in.expert_memory_bytes(),
               .threads = in.threads(),
               .last_epoch = Epoch{in.last_term(), in.last_epoch()},
               .last_slot = in.has_last_slot() ? in.last_slot() : -1};
}

absl::StatusOr<FromWorker> Get(const pb::Ready& in) {
  RETURN_IF_ERROR(AtMost("ready.standby_address", in.standby_address().size(), 1 << 20));
  return Ready{.epoch = EpochOf(in),
               .ok = in.ok(),
               .error = in.error(),
               .last_step_done = StepId{in.last_step_done()},
               .standby_address = in.standby_address(),
               .expert_bytes = in.expert_bytes()};
}

template <typename Field>
absl::StatusOr<SlotSet> GetSlots(const char* field, const Field& in) {
  SlotSet slots;
  RETURN_IF_ERROR(AtMost(field, static_cast<std::size_t>(in.size()), slots.bits.size()));
  std::copy(in.begin(), in.end(), slots.bits.begin());
  return slots;
}

absl::StatusOr<FromWorker> Get(const pb::Loaded& in) {
  RETURN_IF_ERROR(AtMost("loaded.address", in.address().size(), 1 << 20));
  return Loaded{.epoch = EpochOf(in),
                .ok = in.ok(),
                .error = in.error(),
                .address = in.address(),
                .expert_bytes = in.expert_bytes()};
}

absl::StatusOr<FromWorker> Get(const pb::Connected& in) {
  Connected out{.epoch = EpochOf(in), .ok = in.ok(), .error = in.error(), .unreachable = {}};
  ASSIGN_OR_RETURN(out.unreachable, GetSlots("connected.unreachable", in.unreachable()));
  return out;
}

absl::StatusOr<FromWorker> Get(const pb::Heartbeat& in) {
  Heartbeat out{.epoch = EpochOf(in),
                .progress = in.progress(),
                .busy = in.busy(),
                .rss_bytes = in.rss_bytes(),
                .exchange = in.exchange(),
                .waits_for = {},
                .looks = in.looks()};
  ASSIGN_OR_RETURN(out.waits_for, GetSlots("heartbeat.waits_for", in.waits_for()));
  return out;
}

absl::StatusOr<FromWorker> Get(const pb::RecorderTold& in) {
  RETURN_IF_ERROR(AtMost("recorder_told.text", in.text().size(), kRecorderBytesMax));
  return RecorderTold{.ticket = in.ticket(), .text = in.text()};
}

absl::StatusOr<TokenLogprob> GetLogprob(const pb::TokenLogprob& in) {
  RETURN_IF_ERROR(AtMost("logprob.top", static_cast<std::size_t>(in.top_ids_size()), kLogprobsMax));
  if (in.top_ids_size() != in.top_logprobs_size()) {
    return absl::InvalidArgumentError("logprob.top has unequal ids and values");
  }
  TokenLogprob out{.id = in.id(), .logprob = in.logprob(), .top = {}};
  for (int i = 0; i < in.top_ids_size(); ++i)
    out.top.push_back({in.top_ids(i), in.top_logprobs(i)});
  return out;
}

absl::StatusOr<RoutedExperts> GetRouted(const pb::RoutedExperts& in) {
  if (in.ids().size() % sizeof(std::uint16_t) != 0) {
    return absl::InvalidArgumentError("result.routed.ids has an odd number of bytes");
  }
  RoutedExperts out{
      .seq = SeqId{in.seq()}, .begin = in.begin(), .positions = in.positions(), .ids = {}};
  out.ids.resize(in.ids().size() / sizeof(std::uint16_t));
  if (!out.ids.empty()) std::memcpy(out.ids.data(), in.ids().data(), in.ids().size());
  return out;
}

absl::StatusOr<FromWorker> Get(const pb::StepResult& in) {
  RETURN_IF_ERROR(InRange("result.slot", in.slot(), 0, kSlotsMax - 1));
  StepResult out{.epoch = EpochOf(in), .step = StepId{in.step()}, .slot = Slot{in.slot()}};
  out.digest = in.digest();
  for (const auto& sampled : in.sampled()) {
    SampledToken token{
        .seq = SeqId{sampled.seq()}, .position = sampled.position(), .token = sampled.token()};
    token.has_logprob = sampled.has_logprob();
    if (sampled.has_logprob()) {
      ASSIGN_OR_RETURN(token.logprob, GetLogprob(sampled.logprob()));
    }
    out.sampled.push_back(std::move(token));
  }
  for (const auto& prompt : in.prompt_logprobs()) {
    PromptLogprobs entries{.seq = SeqId{prompt.seq()}, .begin = prompt.begin(), .entries = {}};
    for (const auto& entry : prompt.entries()) {
      ASSIGN_OR_RETURN(TokenLogprob logprob, GetLogprob(entry));
      entries.entries.push_back(std::move(logprob));
    }
    out.prompt_logprobs.push_back(std::move(entries));
  }
  for (const auto& routed : in.routed()) {
    ASSIGN_OR_RETURN(RoutedExperts experts, GetRouted(routed));
    out.routed.push_back(std::move(experts));
  }
  for (const auto& phase : in.phases()) {
    RETURN_IF_ERROR(InRange("result.phases.phase", phase.phase(), 0, std::ssize(kPhaseNames) - 1));
    out.phases.push_back({.phase = static_cast<std::uint8_t>(phase.phase()),
                          .micros = phase.micros(),
                          .bytes = phase.bytes(),
                          .ops = phase.ops()});
  }
  out.bytes_sent = in.bytes_sent();
  out.bytes_received = in.bytes_received();
  out.bad_router_rows = in.bad_router_rows();
  RETURN_IF_ERROR(AtMost("result.expert_rows", static_cast<std::size_t>(in.expert_rows_size()),
                         kLayersMax * kExpertsMax));
  out.expert_rows.assign(in.expert_rows().begin(), in.expert_rows().end());
  return out;
}

}  // namespace

void ToProto(const FromWorker& message, pb::FromWorker& out) {
  std::visit([&](const auto& in) { Put(in, out); }, message);
}

absl::StatusOr<FromWorker> FromProto(const pb::FromWorker& in) {
  switch (in.message_case()) {
    case pb::FromWorker::kHello:
      return Get(in.hello());
    case pb::FromWorker::kReady:
      return Get(in.ready());
    case pb::FromWorker::kStepResult:
      return Get(in.step_result());
    case pb::FromWorker::kStepBroken:
      return StepBroken{.epoch = EpochOf(in.step_broken()),
                        .step = StepId{in.step_broken().step()},
                        .error = in.step_broken().error()};
    case pb::FromWorker::kHeartbeat:
      return Get(in.heartbeat());
    case pb::FromWorker::kLoadProgress:
      return LoadProgress{.epoch = EpochOf(in.load_progress()),
                          .expert_bytes = in.load_progress().expert_bytes()};
    case pb::FromWorker::kLeaveAsked:
      return LeaveAsked{};
    case pb::FromWorker::kLoaded:
      return Get(in.loaded());
    case pb::FromWorker::kConnected:
      return Get(in.connected());
    case pb::FromWorker::kRecorderTold:
      return Get(in.recorder_told());
    case pb::FromWorker::MESSAGE_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("message is not set, or of a newer version");
}

}  // namespace conclave::codec
