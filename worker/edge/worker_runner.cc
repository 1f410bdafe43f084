#include "worker/edge/worker_runner.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/edge/clock.h"
#include "base/limits.h"
#include "base/status.h"
#include "model/edge/checkpoint.h"
#include "worker/edge/control_link.h"
#include "worker/edge/incarnation.h"
#include "worker/edge/kv_budget.h"
#include "worker/edge/load_log.h"
#include "worker/edge/load_shard.h"
#include "worker/edge/loader.h"
#include "worker/edge/machine.h"
#include "worker/edge/step_totals.h"
#include "worker/edge/thread_pool.h"
#include "worker/edge/threads.h"
#include "worker/edge/weight_memory.h"
#include "worker/edge/worker_record.h"
#include "worker/shard.h"

namespace conclave {
namespace {

constexpr Epoch kAboveEveryEpoch = Epoch::FromPacked(~std::uint64_t{0});

struct LinkUp {
  std::uint64_t link;
};
struct LinkLost {};
struct Stop {};
using RunnerEvent = std::variant<WorkerEvent, LinkUp, LinkLost, Stop>;

class SteadyTrace final : public Trace {
 public:
  std::uint64_t NowMicros() override { return static_cast<std::uint64_t>(SteadyMicros()); }
};

WorkerOptions WithRecording(WorkerOptions options, FlightRecorder& recorder) {
  options.log = Recording(recorder, std::move(options.log));
  return options;
}

}  // namespace

class WorkerRunner::Impl final : public LinkListener {
 public:
  explicit Impl(WorkerOptions options)
      : own_recorder_("worker"),
        recorder_(options.recorder != nullptr ? *options.recorder : own_recorder_),
        options_(WithRecording(std::move(options), recorder_)),
        load_log_("weights", options_.log) {}
  ~Impl() override { StopAll(); }

  absl::Status Open();
  void Leave() {
    leaving_ = true;
    Post(WorkerEvent(LeaveWanted{}));
  }
  std::optional<WorkerExit> WaitForExit(Micros timeout);
  WorkerReport Report() const;

  void OnLinking(std::uint64_t link) override {
    linking_ = link;
    Post(LinkUp{link});
  }
  void OnMessage(ToWorker message) override;
  void OnLost(const std::string& why) override;

 private:
  void StartThreads();
  void StopAll();
  void Post(RunnerEvent event);
  void Run();
  void Beat();
  std::optional<Heartbeat> HeartbeatNow() const;
  void Handle(RunnerEvent& event);
  void Feed(WorkerEvent event);
  void Remember(const ToWorker& message);
  absl::Status NewIncarnation();
  void EndWith(WorkerExit exit);
  void AbortExchangesBelow(Epoch epoch);

  // Effects, one each. Those that end in an event at once return it.
  using Next = std::optional<WorkerEvent>;
  template <class Effect>
  Next Hand(Effect& effect) {
    loader_->Do(std::move(effect));
    return std::nullopt;
  }
  Next Carry(Tell& effect);
  Next Carry(LoadExperts& effect) { return Hand(effect); }
  Next Carry(OpenExchange& effect);
  Next Carry(LoadAside& effect) { return Hand(effect); }
  Next Carry(ConnectAside& effect) { return Hand(effect); }
  Next Carry(SwitchToStagedExchange& effect);
  Next Carry(DropAside& effect) { return Hand(effect); }
  Next Carry(TrimExperts& effect) { return Hand(effect); }
  Next Carry(StartExchange& effect);
  Next Carry(CloseExchange& effect);
  Next Carry(Exit& effect);

  FlightRecorder own_recorder_;
  FlightRecorder& recorder_;
  const WorkerOptions options_;
  Checkpoint checkpoint_;
  KernelSet kernels_;
  std::string exchange_name_;
  KvBudget kv_;
  SteadyTrace trace_;
  HugePageMemory memory_;
  std::unique_ptr<ThreadPool> pool_;
  LoadLog load_log_;  // the shard speaks to it whenever it packs
  std::unique_ptr<Shard> shard_;
  StepTotals totals_;

  // The pointers; what they point to is the strand's, but for what any thread may call.
  mutable std::mutex incarnation_mutex_;
  std::unique_ptr<Incarnation> incarnation_;
  std::atomic<std::uint64_t> linking_{0};   // the newest link's number
  std::atomic<std::uint64_t> welcomed_{0};  // the link that was answered; 0: none
  std::atomic<bool> ready_{false};
  std::atomic<bool> heard_{false};  // the incarnation has been told something
  std::atomic<bool> leaving_{
      false};  // said again on every new link: a coordinator may have forgotten
  std::atomic<bool> ended_{false};  // the exit is known; nothing more is handled

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<RunnerEvent> queue_;
  std::mutex exit_mutex_;
  std::condition_variable exit_wake_;
  std::optional<WorkerExit> exit_;
  bool stopping_ = false;  // ends the heart
  // The strand's.
  std::uint64_t link_now_ = 0;     // whose Hello was said, or dropped with it
  Epoch last_epoch_;               // the highest ever heard of
  std::int32_t last_slot_ = -1;    // of this process, whatever the incarnation
  WorkerOutbox outbox_, effects_;  // kept for their memory
  WorkerRecord record_{recorder_};
  std::unique_ptr<Loader> loader_;
  std::unique_ptr<ControlLink> link_;
  std::thread strand_, heart_;
};

// ---- coming and going

absl::Status WorkerRunner::Impl::Open() {
  std::vector<std::string> filled;
  ASSIGN_OR_RETURN(kernels_, SelectKernels(options_.kernels, filled));
  options_.log(LogLevel::kInfo, absl::StrCat("kernels: ", std::string(kernels_.name)));
  if (!filled.empty()) {
    options_.log(LogLevel::kWarning, absl::StrCat("without a fast kernel, slow ones are used for: ",
                                                  absl::StrJoin(filled, ", ")));
  }
  ASSIGN_OR_RETURN(exchange_name_, ResolveExchange(options_));
  ASSIGN_OR_RETURN(checkpoint_, OpenCheckpoint(options_.model_dir));
  kv_ = PlanKv({.model = checkpoint_.config,
                .kernels = kernels_,
                .dtype = options_.kv_dtype,
                .bytes = options_.kv_memory_bytes,
                .available_bytes = AvailableMemoryBytes()});
  const int threads = options_.threads > 0 ? options_.threads : CoresHere();
  const ThreadPool::Options lanes{.threads = threads,
                                  .first_cpu_pinned = options_.first_cpu_pinned};
  pool_ = std::make_unique<ThreadPool>(lanes);
  ASSIGN_OR_RETURN(shard_, LoadShard({.model = checkpoint_.config,
                                      .tensors = *checkpoint_.tensors,
                                      .kernels = kernels_,
                                      .role = options_.role,
                                      .lanes = *pool_,
                                      .memory = memory_,
                                      .progress = load_log_.AsFunction(),
                                      .expert_memory_bytes = options_.expert_memory_bytes},
                                     lanes));
  if (options_.role == Role::kWorker) {
    options_.log(LogLevel::kInfo,
                 absl::StrCat("kv cache: ", kv_.tokens(), " tokens in ", kv_.bytes >> 20, " MiB"));
  }
  RETURN_IF_ERROR(NewIncarnation());
  StartThreads();
  return absl::OkStatus();
}

void WorkerRunner::Impl::StartThreads() {
  loader_ = std::make_unique<Loader>(
      Loader::Args{.shard = *shard_,
                   .new_backend = [this] { return NewBackend(options_, exchange_name_); },
                   .tell = [this](WorkerEvent event) { Post(std::move(event)); },
                   .trial_limit = options_.trial_limit});
  strand_ = std::thread([this] { Run(); });
  link_ = std::make_unique<ControlLink>(options_.coordinator, options_.coordinator_address, *this,
                                        options_.log);
  link_->Start();
  heart_ = std::thread([this] { Beat(); });
}

void WorkerRunner::Impl::StopAll() {
  {
    std::lock_guard lock(exit_mutex_);
    stopping_ = true;
  }
  exit_wake_.notify_all();
  if (heart_.joinable()) heart_.join();
  if (link_ != nullptr) link_->Stop();
  AbortExchangesBelow(kAboveEveryEpoch);
  Post(Stop{});
  if (strand_.joinable()) strand_.join();
  loader_.reset();
  incarnation_.reset();
}

// A core and a backend that know nothing yet.
absl::Status WorkerRunner::Impl::NewIncarnation() {
  std::unique_ptr<Incarnation> last;
  {
    std::lock_guard lock(incarnation_mutex_);
    last = std::move(incarnation_);
  }
  last.reset();  // its memory first
  auto next = std::make_unique<Incarnation>();
  next->uuid = NewUuid();
  ASSIGN_OR_RETURN(next->backend, NewBackend(options_, exchange_name_));
  const WorkerConfig config = {.role = options_.role,
                               .uuid = next->uuid,
                               .address = HostAndPid(),
                               .exchange_name = exchange_name_,
                               .kv_dtype = options_.kv_dtype,
                               .kv_blocks = kv_.blocks,
                               .rows_max = options_.rows_max,
                               .arrivals_max = options_.arrivals_max.value_or(0),
                               .sequences_max = options_.sequences_max,
                               .model_identity = checkpoint_.identity,
                               .expert_memory_bytes = options_.expert_memory_bytes,
                               .memory = &memory_};
  next->core =
      std::make_unique<WorkerCore>(config, checkpoint_.config, kernels_, *shard_, *pool_, trace_);
  std::lock_guard lock(incarnation_mutex_);
  incarnation_ = std::move(next);
  return absl::OkStatus();
}

void WorkerRunner::Impl::EndWith(WorkerExit exit) {
  ready_ = false;
  ended_ = true;
  {
    std::lock_guard lock(exit_mutex_);
    if (!exit_) exit_ = std::move(exit);
  }
  exit_wake_.notify_all();
}

std::optional<WorkerExit> WorkerRunner::Impl::WaitForExit(Micros timeout) {
  std::unique_lock lock(exit_mutex_);
  exit_wake_.wait_for(lock, std::chrono::microseconds(timeout),
                      [this] { return exit_.has_value(); });
  return exit_;
}

// ---- the control link's threads

void WorkerRunner::Impl::OnMessage(ToWorker message) {
  if (const auto* asked = std::get_if<RecorderAsked>(&message)) {  // also of a wedged strand
    link_->Send(linking_, RecorderTold{asked->ticket, recorder_.Text(kRecorderBytesMax)});
    return;
  }
  if (const auto* preload = std::get_if<Preload>(&message)) {  // the strand waits for a frame
    if (HeartbeatNow().value_or(Heartbeat{}).epoch == preload->epoch) loader_->Do(*preload);
    return;
  }
  heard_ = true;
  if (std::holds_alternative<Welcome>(message)) welcomed_ = linking_.load();
  if (const auto* prepare = std::get_if<Prepare>(&message)) {
    ready_ = false;
    // The strand may be inside an exchange of an older epoch that will never finish, the loader
    // inside the trial of one that will not come.
    AbortExchangesBelow(prepare->epoch);
    loader_->AbortAside(prepare->epoch);
  } else if (std::holds_alternative<Goodbye>(message)) {
    AbortExchangesBelow(kAboveEveryEpoch);
    loader_->AbortAside(std::nullopt);
  }
  const bool say_again = leaving_ && std::holds_alternative<Welcome>(message);
  Post(WorkerEvent(Told{std::move(message)}));
  if (say_again) Post(WorkerEvent(LeaveWanted{}));
}

void WorkerRunner::Impl::OnLost(const std::string& why) {
  welcomed_ = 0;
  ready_ = false;
  if (heard_) AbortExchangesBelow(kAboveEveryEpoch);
  loader_->AbortAside(std::nullopt);
  if (options_.coordinator_address.empty()) {
    EndWith({true, absl::StrCat("no link to the coordinator in this process: ", why)});
  }
  Post(LinkLost{});
}

// Ends those of lower epochs, on the running backend.
void WorkerRunner::Impl::AbortExchangesBelow(Epoch epoch) {
  std::lock_guard lock(incarnation_mutex_);
  if (incarnation_ != nullptr) incarnation_->backend->AbortBelow(epoch);
}

// Heartbeats have a thread of their own: a busy strand is not a dead worker, and a wedged one shows
// by its progress standing still.
void WorkerRunner::Impl::Beat() {
  NameThisThread("heart");
  constexpr auto kPeriod = std::chrono::milliseconds(100);
  std::unique_lock lock(exit_mutex_);
  while (!exit_wake_.wait_for(lock, kPeriod, [this] { return stopping_; })) {
    const std::uint64_t link = welcomed_;
    if (link == 0) continue;
    lock.unlock();
    if (const std::optional<Heartbeat> beat = HeartbeatNow()) link_->Send(link, *beat);
    if (const std::optional<LoadProgress> progress = loader_->Progress())
      link_->Send(link, *progress);
    lock.lock();
  }
}

std::optional<Heartbeat> WorkerRunner::Impl::HeartbeatNow() const {
  std::lock_guard lock(incarnation_mutex_);
  if (incarnation_ == nullptr) return std::nullopt;
  return HeartbeatOf(*incarnation_);
}

// ---- the strand

void WorkerRunner::Impl::Post(RunnerEvent event) {
  {
    std::lock_guard lock(mutex_);
    queue_.push_back(std::move(event));
  }
  wake_.notify_one();
}

void WorkerRunner::Impl::Run() {
  NameThisThread("strand");
  SetComputeThreadFloatMode();
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return !queue_.empty(); });
    RunnerEvent event = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    if (std::holds_alternative<Stop>(event)) break;
    Handle(event);
    lock.lock();
  }
  if (incarnation_ != nullptr) incarnation_->backend->Close();
}

void WorkerRunner::Impl::Handle(RunnerEvent& event) {
  if (incarnation_ == nullptr || ended_) return;
  if (const auto* up = std::get_if<LinkUp>(&event)) {
    link_now_ = up->link;
    const absl::StatusOr<std::string> standby = incarnation_->backend->StandbyAddress();
    if (!standby.ok()) {
      return EndWith({true, absl::StrCat("exchange: ", std::string(standby.status().message()))});
    }
    Hello hello = incarnation_->core->SayHello(*standby);
    hello.last_epoch = last_epoch_;
    hello.last_slot = last_slot_;
    link_->Send(link_now_, hello);
  } else if (std::holds_alternative<LinkLost>(event)) {
    if (!heard_.exchange(false)) return;  // still as good as new
    incarnation_->backend->Close();
    loader_->Forget();
    if (const absl::Status status = NewIncarnation(); !status.ok()) {
      EndWith({true, std::string(status.message())});
    }
  } else if (auto* ours = std::get_if<WorkerEvent>(&event)) {
    if (const auto* told = std::get_if<Told>(ours)) Remember(told->message);
    Feed(std::move(*ours));
  }
}

// What outlives this incarnation: see Hello.
void WorkerRunner::Impl::Remember(const ToWorker& message) {
  if (const auto* welcome = std::get_if<Welcome>(&message)) last_slot_ = welcome->slot.value;
  if (const auto* load = std::get_if<Load>(&message)) {
    last_epoch_ = std::max(last_epoch_, load->epoch);
  }
  if (const auto* prepare = std::get_if<Prepare>(&message)) {
    last_epoch_ = std::max(last_epoch_, prepare->epoch);
  }
}

// Hands one event to the core and carries its effects out, in order, and those of what follows.
void WorkerRunner::Impl::Feed(WorkerEvent event) {
  Next next = std::move(event);
  while (next.has_value()) {
    record_.Heard(*next);
    incarnation_->core->Handle(*next, outbox_);
    next.reset();
    effects_.swap(outbox_);
    for (WorkerEffect& effect : effects_) {
      record_.Did(effect);
      Next follows = std::visit([this](auto& one) { return Carry(one); }, effect);
      if (follows.has_value()) next = std::move(follows);
    }
    effects_.clear();
  }
}

WorkerRunner::Impl::Next WorkerRunner::Impl::Carry(Tell& effect) {
  if (const auto* result = std::get_if<StepResult>(&effect.message)) totals_.Add(*result);
  if (const auto* told = std::get_if<Ready>(&effect.message)) {
    ready_ = told->ok;
    if (!told->ok) options_.log(LogLevel::kError, absl::StrCat("cannot take part: ", told->error));
  }
  if (const auto* broken = std::get_if<StepBroken>(&effect.message)) {
    options_.log(LogLevel::kWarning,
                 absl::StrCat("step ", broken->step.value, " broke: ", broken->error));
  }
  link_->Send(link_now_, effect.message);
  return std::nullopt;
}

WorkerRunner::Impl::Next WorkerRunner::Impl::Carry(OpenExchange& effect) {
  ExchangeBackend& backend = *incarnation_->backend;
  return Opened(effect.view.epoch, backend.Open(effect.view, options_.open_timeout), backend);
}

WorkerRunner::Impl::Next WorkerRunner::Impl::Carry(SwitchToStagedExchange& effect) {
  absl::Status status;
  if (std::unique_ptr<ExchangeBackend> next = loader_->TakeAside(effect.epoch)) {
    {
      std::lock_guard lock(incarnation_mutex_);
      incarnation_->backend.swap(next);
    }
    loader_->Discard(std::move(next));
  } else {
    status = absl::FailedPreconditionError("what was made ready for it is gone");
  }
  return Opened(effect.epoch, std::move(status), *incarnation_->backend);
}

WorkerRunner::Impl::Next WorkerRunner::Impl::Carry(StartExchange& effect) {
  return ExchangeDone{effect.epoch, incarnation_->backend->Exchange(effect.sends, *effect.sink,
                                                                    options_.exchange_timeout)};
}

WorkerRunner::Impl::Next WorkerRunner::Impl::Carry(CloseExchange&) {
  incarnation_->backend->Close();
  return std::nullopt;
}

WorkerRunner::Impl::Next WorkerRunner::Impl::Carry(Exit& effect) {
  EndWith({effect.failed, effect.reason});
  return std::nullopt;
}

WorkerReport WorkerRunner::Impl::Report() const {
  WorkerReport report = totals_.Get();
  report.ready = ready_;
  report.linked = welcomed_ != 0;
  {
    std::lock_guard lock(incarnation_mutex_);
    if (incarnation_ != nullptr) {
      report.epoch = incarnation_->core->epoch();
      report.progress = incarnation_->core->progress();
    }
  }
  report.weights_bytes = shard_->shared_bytes() + shard_->expert_bytes();
  report.kv_bytes = options_.role == Role::kWorker ? kv_.bytes : 0;
  report.rss_bytes = ResidentBytes();
  report.kernels = std::string(kernels_.name);
  report.exchange = exchange_name_;
  return report;
}

// ---- WorkerRunner

absl::StatusOr<std::unique_ptr<WorkerRunner>> WorkerRunner::Start(WorkerOptions options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  RETURN_IF_ERROR(impl->Open());
  return std::unique_ptr<WorkerRunner>(new WorkerRunner(std::move(impl)));
}

WorkerRunner::WorkerRunner(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
WorkerRunner::~WorkerRunner() = default;
void WorkerRunner::Leave() { impl_->Leave(); }
std::optional<WorkerExit> WorkerRunner::WaitForExit(Micros timeout) {
  return impl_->WaitForExit(timeout);
}
WorkerReport WorkerRunner::Report() const { return impl_->Report(); }

}  // namespace conclave
