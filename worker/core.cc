#include "worker/core.h"

#include <array>
#include <atomic>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "model/rope.h"
#include "worker/aside.h"
#include "worker/begin_step.h"
#include "worker/check_ask.h"
#include "worker/step.h"

namespace conclave {
namespace {

std::int32_t OwnRows(const WorkerConfig& config) {
  return config.role == Role::kWorker ? config.rows_max : 0;
}

Memory& MemoryOf(const WorkerConfig& config) {
  return config.memory != nullptr ? *config.memory : SharedHeap();
}

WorkspaceShape ShapeOf(const WorkerConfig& config, const ModelConfig& model,
                       const KernelSet& kernels, const Lanes& lanes) {
  WorkspaceShape shape{
      .model = model, .kernels = kernels, .rows = OwnRows(config), .lanes = lanes.count()};
  shape.arrivals =
      config.arrivals_max > 0 ? config.arrivals_max : ArrivalsFor(shape, kRoundBytes);
  return shape;
}

}  // namespace

class WorkerCore::Impl {
 public:
  Impl(const WorkerConfig& config, const ModelConfig& model, const KernelSet& kernels, Shard& shard,
       Lanes& lanes, Trace& trace)
      : config_(config),
        model_(model),
        kernels_(kernels),
        shard_(shard),
        kv_({.model = model,
             .kernels = kernels,
             .dtype = config.kv_dtype,
             .blocks = config.role == Role::kWorker ? config.kv_blocks : 0,
             .memory = MemoryOf(config)}),
        sequences_({.sequences_max = config.role == Role::kWorker ? config.sequences_max : 0,
                    .kv_blocks = kv_.blocks(),
                    .vocab = model.vocab,
                    .context = std::min(model.context, kContextMax)}),
        ws_(Workspace::Make(ShapeOf(config, model, kernels, lanes), MemoryOf(config))),
        rope_{InverseFrequencies(model), model.rope_scaling.attention_factor},
        expert_rows_(static_cast<std::size_t>(model.moe_layers) *
                     static_cast<std::size_t>(model.experts)),
        run_(model),
        step_{.model = model,
              .kernels = kernels,
              .shard = shard,
              .lanes = lanes,
              .trace = trace,
              .kv = kv_,
              .sequences = sequences_,
              .ws = ws_,
              .rope = rope_,
              .frame_shape = ShapeOf(config, model, kernels, lanes).frame(),
              .progress = progress_,
              .expert_rows = expert_rows_} {
    config_.rows_max = OwnRows(config);
    config_.arrivals_max =
        static_cast<std::int32_t>(ShapeOf(config, model, kernels, lanes).arrivals);
  }

  Hello SayHello(std::string standby_address) const;

  void On(const Told& told, WorkerOutbox& outbox) {
    std::visit([&](const auto& message) { OnTold(message, outbox); }, told.message);
  }
  void On(const ExpertsLoaded& loaded, WorkerOutbox& outbox);
  void On(const ExchangeOpened& opened, WorkerOutbox& outbox);
  void On(const ExchangeDone& done, WorkerOutbox& outbox);
  void On(const LoadedAside& loaded, WorkerOutbox& outbox) { aside_.On(loaded, outbox); }
  void On(const ConnectedAside& connected, WorkerOutbox& outbox) { aside_.On(connected, outbox); }
  void On(const LeaveWanted&, WorkerOutbox& outbox) {
    outbox.emplace_back(std::in_place_type<Tell>, LeaveAsked{});
  }

  std::uint64_t progress() const { return progress_.load(std::memory_order_relaxed); }
  bool busy() const { return busy_.load(std::memory_order_relaxed); }
  Epoch epoch() const { return Epoch::FromPacked(epoch_.load(std::memory_order_relaxed)); }

 private:
  // Where this worker stands in its epoch.
  enum class Stage : std::uint8_t {
    kOut,      // of every epoch: none yet, or this one could not be prepared
    kLoading,  // experts
    kOpening,  // the exchange
    kReady,    // waits for Commit
    kRunning,  // takes steps
    kBroken,   // a step broke: nothing more until the next Prepare
  };

  void OnTold(const Welcome&, WorkerOutbox&) {}  // the view says which slot is whose
  void OnTold(const Prepare& prepare, WorkerOutbox& outbox);
  void OnTold(const Load& load, WorkerOutbox& outbox);
  void OnTold(const Connect& connect, WorkerOutbox& outbox);
  void OnTold(const RecorderAsked&, WorkerOutbox&) {}  // the edge's
  void OnTold(const Preload&, WorkerOutbox&) {}        // the edge's: no step is touched
  void OnTold(const Commit& commit, WorkerOutbox& outbox);
  void OnTold(const StepAsk& ask, WorkerOutbox& outbox);
  void OnTold(const Goodbye& goodbye, WorkerOutbox& outbox);

  void DropSteps();
  void Refuse(const absl::Status& why, WorkerOutbox& outbox,
              const std::string& standby_address = {});
  void RunSteps(WorkerOutbox& outbox);
  bool BeginNext(WorkerOutbox& outbox);
  void Break(const absl::Status& why, WorkerOutbox& outbox);
  void PopAsk();
  void Tally() { busy_.store(asks_ > 0, std::memory_order_relaxed); }

  WorkerConfig config_;
  const ModelConfig& model_;
  const KernelSet& kernels_;
  Shard& shard_;
  KvCache kv_;
  Sequences sequences_;
  Workspace ws_;
  const RopeFrequencies rope_;
  std::vector<std::uint32_t> expert_rows_;

  std::atomic<std::uint64_t> progress_{0};
  std::atomic<bool> busy_{false};
  std::atomic<std::uint64_t> epoch_{0};  // packed

  Stage stage_ = Stage::kOut;
  std::optional<EpochTables> tables_;
  EpochView view_;
  Placement placement_;  // of the newest Prepare
  Aside aside_{config_, model_, shard_};
  StepId next_step_;
  StepId last_step_done_;

  // Asks in order, the running one first. Assigned, never made anew: their memory is used again.
  std::array<StepAsk, kPlansAheadMax + 1> ring_;
  std::size_t first_ = 0;
  std::size_t asks_ = 0;

  StepRun run_;
  StepContext step_;
  bool active_ = false;   // a step has begun
  bool waiting_ = false;  // it waits for an exchange
  std::uint64_t waiting_since_ = 0;
};

Hello WorkerCore::Impl::SayHello(std::string standby_address) const {
  Hello hello;
  hello.uuid = config_.uuid;
  hello.role = config_.role;
  hello.address = config_.address;
  hello.model = {.identity = config_.model_identity,
                 .name = model_.name,
                 .vocab = model_.vocab,
                 .context = model_.context,
                 .moe_layers = model_.moe_layers,
                 .experts = model_.experts,
                 .topk = model_.topk,
                 .expert_bytes = shard_.one_expert_bytes()};
  hello.numerics = NumericsFingerprint(kernels_);
  hello.kernels = std::string(kernels_.name);
  hello.kv_dtype = NameOf(config_.kv_dtype);
  hello.exchange = config_.exchange_name;
  hello.standby_address = std::move(standby_address);
  hello.kv_blocks = kv_.blocks();
  hello.rows_max = config_.rows_max;
  hello.arrivals_max = config_.arrivals_max;
  hello.expert_memory_bytes = config_.expert_memory_bytes;
  hello.threads = step_.lanes.count();
  return hello;
}

// ---- epochs

void WorkerCore::Impl::DropSteps() {
  if (active_) AbandonStep(step_);
  active_ = false;
  waiting_ = false;
  asks_ = 0;
  Tally();
}

void WorkerCore::Impl::OnTold(const Prepare& prepare, WorkerOutbox& outbox) {
  if (prepare.epoch <= epoch()) return;
  DropSteps();
  epoch_.store(prepare.epoch.packed(), std::memory_order_relaxed);
  stage_ = Stage::kOut;
  placement_ = prepare.placement;
  if (std::optional<EpochTables> ready = aside_.Take(prepare, outbox)) {
    tables_ = *std::move(ready);
    stage_ = Stage::kOpening;
    outbox.push_back(SwitchToStagedExchange{prepare.epoch});
    return;
  }
  outbox.push_back(CloseExchange{});
  absl::StatusOr<EpochTables> tables = EpochTables::Make(
      {.prepare = prepare, .model = model_, .uuid = config_.uuid, .rows_max = config_.rows_max});
  if (!tables.ok()) return Refuse(tables.status(), outbox);
  tables_ = *std::move(tables);
  view_ = {.epoch = prepare.epoch, .self = tables_->slot(tables_->self()), .peers = {}};
  for (const ViewPeer& peer : prepare.peers) view_.peers.push_back({peer.slot, peer.address});
  stage_ = Stage::kLoading;
  outbox.push_back(LoadExperts{prepare.epoch, prepare.placement, view_.self});
}

void WorkerCore::Impl::Refuse(const absl::Status& why, WorkerOutbox& outbox,
                              const std::string& standby_address) {
  stage_ = Stage::kOut;
  Ready ready{.epoch = epoch(), .ok = false, .error = std::string(why.message())};
  ready.last_step_done = last_step_done_;
  ready.standby_address = standby_address;
  ready.expert_bytes = shard_.expert_bytes();
  outbox.emplace_back(Tell{std::move(ready)});
}

void WorkerCore::Impl::On(const ExpertsLoaded& loaded, WorkerOutbox& outbox) {
  if (loaded.epoch != epoch() || stage_ != Stage::kLoading) return;
  if (!loaded.status.ok()) return Refuse(loaded.status, outbox);
  if (const absl::Status held = CheckHeld(*tables_, model_, shard_); !held.ok()) {
    return Refuse(held, outbox);
  }
  stage_ = Stage::kOpening;
  outbox.push_back(OpenExchange{view_});
}

void WorkerCore::Impl::On(const ExchangeOpened& opened, WorkerOutbox& outbox) {
  if (opened.epoch != epoch() || stage_ != Stage::kOpening) return;
  // The address of the epoch that failed is used up: the next try needs the new one.
  if (!opened.status.ok()) return Refuse(opened.status, outbox, opened.standby_address);
  stage_ = Stage::kReady;
  outbox.push_back(Tell{Ready{.epoch = epoch(),
                              .ok = true,
                              .error = {},
                              .last_step_done = last_step_done_,
                              .standby_address = opened.standby_address,
                              .expert_bytes = shard_.expert_bytes()}});
}

void WorkerCore::Impl::OnTold(const Commit& commit, WorkerOutbox& outbox) {
  if (commit.epoch != epoch() || stage_ != Stage::kReady) return;
  next_step_ = commit.first_step;
  stage_ = Stage::kRunning;
  if (aside_.active()) return;  // what the next epoch has loaded already must stay
  outbox.push_back(TrimExperts{placement_, tables_->slot(tables_->self())});
}

// After a Prepare without Commit: that epoch was given up, someone else in it is gone. Its experts
// must not be on their way still, or two loads would be in each other's way.
void WorkerCore::Impl::OnTold(const Load& load, WorkerOutbox& outbox) {
  if (load.epoch <= epoch()) return;
  aside_.Begin(load,
               stage_ == Stage::kLoading
                   ? absl::FailedPreconditionError(
                         absl::StrCat("experts of epoch ", epoch().number, " are being loaded"))
                   : absl::OkStatus(),
               outbox);
}

void WorkerCore::Impl::OnTold(const Connect& connect, WorkerOutbox& outbox) {
  if (connect.epoch > epoch()) aside_.On(connect, outbox);
}

void WorkerCore::Impl::OnTold(const Goodbye& goodbye, WorkerOutbox& outbox) {
  DropSteps();
  stage_ = Stage::kOut;
  aside_.Drop(outbox);
  outbox.push_back(CloseExchange{});
  outbox.push_back(Exit{.failed = goodbye.refused, .reason = goodbye.reason});
}

// ---- steps

void WorkerCore::Impl::OnTold(const StepAsk& ask, WorkerOutbox& outbox) {
  // Of an epoch that is over, or of one that is broken already and said so.
  if (ask.epoch < epoch() || (ask.epoch == epoch() && stage_ == Stage::kBroken)) return;
  const auto refuse = [&](std::string why) {
    outbox.push_back(Tell{StepBroken{ask.epoch, ask.step, std::move(why)}});
  };
  if (ask.epoch > epoch()) {
    return refuse(
        absl::StrCat("plan of epoch ", ask.epoch.number, "; this worker is at ", epoch().number));
  }
  if (stage_ != Stage::kRunning) {
    return refuse(absl::StrCat("epoch ", epoch().number, " is not committed here"));
  }
  if (asks_ == ring_.size()) {
    return refuse(absl::StrCat("more than ", kPlansAheadMax, " plans ahead"));
  }
  ring_[(first_ + asks_++) % ring_.size()] = ask;
  Tally();
  if (!waiting_) RunSteps(outbox);
}

void WorkerCore::Impl::On(const ExchangeDone& done, WorkerOutbox& outbox) {
  if (done.epoch != epoch() || !waiting_) return;  // of a step that was dropped
  waiting_ = false;
  PhaseTime& time = step_.times[static_cast<std::size_t>(PhaseId::kExchange)];
  time.micros += step_.trace.NowMicros() - waiting_since_;
  for (std::size_t i = 0; i < step_.sends; ++i) time.bytes += ws_.sends[i].bytes.size();
  if (!done.status.ok()) return Break(done.status, outbox);
  RunSteps(outbox);
}

void WorkerCore::Impl::PopAsk() {
  first_ = (first_ + 1) % ring_.size();
  --asks_;
  Tally();
}

bool WorkerCore::Impl::BeginNext(WorkerOutbox& outbox) {
  step_.ask = &ring_[first_];
  step_.epoch = &*tables_;
  absl::Status status = CheckAsk(
      {.ask = *step_.ask, .epoch = *tables_, .step_expected = next_step_, .config = config_});
  if (status.ok()) status = BeginStep(step_);
  if (!status.ok()) {
    Break(status, outbox);
    return false;
  }
  run_.Begin();
  active_ = true;
  return true;
}

void WorkerCore::Impl::Break(const absl::Status& why, WorkerOutbox& outbox) {
  const StepAsk& ask = ring_[first_];
  outbox.push_back(Tell{StepBroken{ask.epoch, ask.step, std::string(why.message())}});
  DropSteps();
  stage_ = Stage::kBroken;
}

void WorkerCore::Impl::RunSteps(WorkerOutbox& outbox) {
  while (asks_ > 0) {
    if (!active_ && !BeginNext(outbox)) return;
    switch (run_.Advance(step_)) {
      case Progress::kWaiting:
        waiting_ = true;
        waiting_since_ = step_.trace.NowMicros();
        outbox.push_back(StartExchange{epoch(), ws_.sends.first(step_.sends), step_.sink});
        return;
      case Progress::kBroken:
        return Break(step_.error, outbox);
      case Progress::kDone:
        break;
    }
    FinishStep(step_);
    active_ = false;
    last_step_done_ = step_.ask->step;
    next_step_ = StepId{last_step_done_.value + 1};
    outbox.push_back(Tell{std::move(step_.result)});
    PopAsk();
  }
}

// ---- WorkerCore

WorkerCore::WorkerCore(const WorkerConfig& config, const ModelConfig& model,
                       const KernelSet& kernels, Shard& shard, Lanes& lanes, Trace& trace)
    : impl_(std::make_unique<Impl>(config, model, kernels, shard, lanes, trace)) {}
WorkerCore::~WorkerCore() = default;

Hello WorkerCore::SayHello(std::string standby_address) const {
  return impl_->SayHello(std::move(standby_address));
}
void WorkerCore::Handle(const WorkerEvent& event, WorkerOutbox& outbox) {
  std::visit([&](const auto& one) { impl_->On(one, outbox); }, event);
}
std::uint64_t WorkerCore::progress() const { return impl_->progress(); }
bool WorkerCore::busy() const { return impl_->busy(); }
Epoch WorkerCore::epoch() const { return impl_->epoch(); }

}  // namespace conclave
