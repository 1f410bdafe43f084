#include "cli/bench_cluster.h"

#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/edge/clock.h"
#include "base/status.h"
#include "cli/cluster.h"
#include "protocol/rounds.h"
#include "worker/core.h"
#include "worker/edge/incarnation.h"
#include "worker/edge/machine.h"
#include "worker/edge/thread_pool.h"
#include "worker/edge/weight_memory.h"
#include "worker/shard.h"
#include "worker/workspace.h"

namespace conclave {
namespace {

constexpr Epoch kEpoch{1, 1};
constexpr Micros kOpenTimeout = 30'000'000;
constexpr Micros kExchangeTimeout = 600'000'000;

class SteadyTrace final : public Trace {
 public:
  std::uint64_t NowMicros() override { return static_cast<std::uint64_t>(SteadyMicros()); }
};

}  // namespace

// One worker and its thread, on which everything of it happens.
class BenchCluster::Node {
 public:
  Node(const BenchClusterOptions& options, const KernelSet& kernels, LocalHub& hub, int index)
      : options_(options), kernels_(kernels), hub_(hub), index_(index) {
    thread_ = std::thread([this] { Run(); });
  }
  ~Node() {
    Do([this] { stopping_ = true; });
    thread_.join();
  }

  // Runs on the worker's thread, after what was given before.
  void Do(std::function<void()> job) {
    {
      std::lock_guard lock(mutex_);
      jobs_.push_back(std::move(job));
    }
    wake_.notify_all();
  }
  template <typename Result>
  std::future<Result> Get(std::function<Result()> job) {
    auto task = std::make_shared<std::packaged_task<Result()>>(std::move(job));
    std::future<Result> result = task->get_future();
    Do([task] { (*task)(); });
    return result;
  }
  void Tell(ToWorker message) {
    Do([this, message = std::move(message)] { Feed(Told{message}); });
  }
  // Blocks for the next thing the worker said.
  FromWorker Hear() {
    std::unique_lock lock(mutex_);
    heard_.wait(lock, [this] { return !said_.empty(); });
    FromWorker message = std::move(said_.front());
    said_.pop_front();
    return message;
  }

  absl::StatusOr<std::string> Open();  // the standby address
  Lanes& lanes() { return *pool_; }
  std::int32_t arrivals_max() const { return arrivals_max_; }
  std::uint64_t weights_bytes() const { return weights_bytes_; }

 private:
  void Run() {
    SetComputeThreadFloatMode();
    while (!stopping_) {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return !jobs_.empty(); });
      const std::function<void()> job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      job();
    }
    if (backend_ != nullptr) backend_->Close();
    core_.reset();
    shard_.reset();
    backend_.reset();
    pool_.reset();
  }
  void Feed(WorkerEvent event);
  std::optional<WorkerEvent> Carry(WorkerEffect& effect);

  const BenchClusterOptions& options_;
  const KernelSet& kernels_;
  LocalHub& hub_;
  const int index_;
  HugePageMemory memory_;
  SteadyTrace trace_;
  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<Shard> shard_;
  std::unique_ptr<ExchangeBackend> backend_;
  std::unique_ptr<WorkerCore> core_;
  WorkerOutbox outbox_;
  std::uint64_t weights_bytes_ = 0;
  std::int32_t arrivals_max_ = 0;
  bool stopping_ = false;

  std::mutex mutex_;
  std::condition_variable wake_, heard_;
  std::deque<std::function<void()>> jobs_;
  std::deque<FromWorker> said_;
  std::thread thread_;
};

absl::StatusOr<std::string> BenchCluster::Node::Open() {
  WorkerOptions worker = options_.worker;
  worker.hub = worker.exchange == "auto" || worker.exchange == "local" ? &hub_ : nullptr;
  ASSIGN_OR_RETURN(const std::string exchange, ResolveExchange(worker));
  pool_ = std::make_unique<ThreadPool>(ThreadPool::Options{
      .threads = ThreadsOfWorker(worker.threads, CoresHere(), options_.workers, index_),
      .first_cpu_pinned = std::nullopt});
  const ModelConfig& model = options_.checkpoint.config;
  arrivals_max_ = worker.arrivals_max.value_or(ArrivalsFor({.model = model,
                                                            .kernels = kernels_,
                                                            .rows = options_.rows_max,
                                                            .lanes = pool_->count()},
                                                           kRoundBytes));
  ASSIGN_OR_RETURN(shard_, Shard::Load({.model = model,
                                        .tensors = *options_.checkpoint.tensors,
                                        .kernels = kernels_,
                                        .role = Role::kWorker,
                                        .lanes = *pool_,
                                        .memory = memory_,
                                        .progress = {}}));
  ASSIGN_OR_RETURN(backend_, NewBackend(worker, exchange));
  WorkerConfig config;
  config.uuid = absl::StrCat("bench-", index_);
  config.address = HostAndPid();
  config.exchange_name = exchange;
  config.kv_dtype = worker.kv_dtype;
  config.kv_blocks = options_.kv_blocks;
  config.rows_max = options_.rows_max;
  config.arrivals_max = arrivals_max_;
  config.sequences_max = options_.sequences_max;
  config.model_identity = options_.checkpoint.identity;
  config.memory = &memory_;
  core_ = std::make_unique<WorkerCore>(config, model, kernels_, *shard_, *pool_, trace_);
  return backend_->StandbyAddress();
}

void BenchCluster::Node::Feed(WorkerEvent event) {
  std::deque<WorkerEvent> events;
  events.push_back(std::move(event));
  while (!events.empty()) {
    core_->Handle(events.front(), outbox_);
    events.pop_front();
    WorkerOutbox effects = std::exchange(outbox_, {});
    for (WorkerEffect& effect : effects) {
      if (std::optional<WorkerEvent> next = Carry(effect)) events.push_back(std::move(*next));
    }
  }
}

std::optional<WorkerEvent> BenchCluster::Node::Carry(WorkerEffect& effect) {
  if (auto* tell = std::get_if<conclave::Tell>(&effect)) {
    {
      std::lock_guard lock(mutex_);
      said_.push_back(std::move(tell->message));
    }
    heard_.notify_all();
  } else if (auto* load = std::get_if<LoadExperts>(&effect)) {
    const absl::Status status = shard_->LoadMissingExperts(load->placement, load->slot);
    weights_bytes_ = shard_->shared_bytes() + shard_->expert_bytes();
    return ExpertsLoaded{load->epoch, status};
  } else if (auto* open = std::get_if<OpenExchange>(&effect)) {
    const absl::Status status = backend_->Open(open->view, kOpenTimeout);
    return ExchangeOpened{open->view.epoch, status, ""};
  } else if (auto* start = std::get_if<StartExchange>(&effect)) {
    return ExchangeDone{start->epoch,
                        backend_->Exchange(start->sends, *start->sink, kExchangeTimeout)};
  }
  return std::nullopt;
}

absl::StatusOr<std::unique_ptr<BenchCluster>> BenchCluster::Start(
    const BenchClusterOptions& options) {
  struct Kept {  // the nodes refer to these
    BenchClusterOptions options;
    KernelSet kernels;
  };
  std::vector<std::string> filled;
  ASSIGN_OR_RETURN(const KernelSet kernels, SelectKernels(options.worker.kernels, filled));
  std::unique_ptr<BenchCluster> cluster(new BenchCluster());
  const auto shared = std::make_shared<const Kept>(Kept{options, kernels});
  cluster->kept_ = shared;
  const Kept& kept = *shared;
  cluster->kernels_ = std::string(kernels.name);
  cluster->bf16_ = kernels.activation == DType::kBf16;
  const ModelConfig& model = options.checkpoint.config;
  const KvShape shape = {model.kv_heads, model.head_dim, options.worker.kv_dtype};
  cluster->kv_bytes_ = kernels.kv_block_bytes(shape) * model.layers.size() *
                       static_cast<std::uint64_t>(options.kv_blocks) *
                       static_cast<std::uint64_t>(options.workers);
  for (int i = 0; i < options.workers; ++i) {
    cluster->nodes_.push_back(std::make_unique<Node>(kept.options, kept.kernels, cluster->hub_, i));
  }
  RETURN_IF_ERROR(cluster->OpenEpoch(model));
  return cluster;
}

BenchCluster::~BenchCluster() = default;

absl::Status BenchCluster::OpenEpoch(const ModelConfig& model) {
  std::vector<std::future<absl::StatusOr<std::string>>> opened;
  for (const auto& node : nodes_) {
    opened.push_back(node->Get<absl::StatusOr<std::string>>([&node] { return node->Open(); }));
  }
  Prepare prepare{.epoch = kEpoch, .peers = {}, .placement = {}};
  absl::Status failure;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const absl::StatusOr<std::string> address = opened[i].get();
    failure.Update(address.status());
    prepare.peers.push_back(
        {Slot{static_cast<std::int32_t>(i)}, absl::StrCat("bench-", i), address.value_or("")});
  }
  RETURN_IF_ERROR(failure);
  const int workers = static_cast<int>(nodes_.size());
  PlacementBuilder placement(model.moe_layers, model.experts);
  for (int l = 0; l < model.moe_layers; ++l) {
    for (int e = 0; e < model.experts; ++e) placement.AddOwner(l, e, Slot{e % workers});
  }
  prepare.placement = placement.Build();
  for (const auto& node : nodes_) node->Tell(prepare);
  for (const auto& node : nodes_) {
    const FromWorker said = node->Hear();
    const auto* ready = std::get_if<Ready>(&said);
    if (ready == nullptr || !ready->ok) {
      failure.Update(absl::UnavailableError(ready != nullptr ? ready->error : "not ready"));
    }
  }
  RETURN_IF_ERROR(failure);
  for (const auto& node : nodes_) node->Tell(Commit{kEpoch, StepId{next_step_}});
  return absl::OkStatus();
}

void BenchCluster::Submit(std::vector<WorkerPart> parts) {
  StepPlan plan{.epoch = kEpoch, .step = StepId{next_step_++}, .parts = std::move(parts)};
  std::vector<std::int32_t> rows, arrivals_max;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    rows.push_back(static_cast<std::int32_t>(plan.parts[i].rows()));
    arrivals_max.push_back(nodes_[i]->arrivals_max());
  }
  plan.rounds = RoundsFor(rows, arrivals_max);
  std::vector<StepAsk> asks = AsksFor(plan);
  for (std::size_t i = 0; i < nodes_.size(); ++i) nodes_[i]->Tell(std::move(asks[i]));
}

absl::StatusOr<std::vector<StepResult>> BenchCluster::Await() {
  std::vector<StepResult> results;
  absl::Status failure;
  for (const auto& node : nodes_) {
    FromWorker said = node->Hear();
    if (auto* result = std::get_if<StepResult>(&said)) {
      results.push_back(std::move(*result));
    } else if (auto* broken = std::get_if<StepBroken>(&said)) {
      failure.Update(absl::InternalError(broken->error));
    }
  }
  if (!failure.ok()) return failure;
  return results;
}

MachineReading BenchCluster::Measure(std::int64_t budget_ms) {
  if (meter_ == nullptr) meter_ = std::make_unique<MachineMeter>();
  const auto read = [this, budget_ms](Lanes& lanes) {
    const std::int64_t share = budget_ms / 4;
    MachineReading reading;
    reading.read_gbps = meter_->ReadGbps(lanes, share);
    reading.int8_gops = meter_->Int8Gops(lanes, share);
    reading.bf16_gflops = meter_->Bf16Gflops(lanes, share);
    reading.fp32_gflops = meter_->Fp32Gflops(lanes, share);
    return reading;
  };
  if (nodes_.size() == 1) {
    Node& node = *nodes_.front();
    return node.Get<MachineReading>([&] { return read(node.lanes()); }).get();
  }
  if (team_ == nullptr) {
    int threads = 0;
    for (const auto& node : nodes_) threads += node->lanes().count();
    team_ = std::make_unique<ThreadPool>(
        ThreadPool::Options{.threads = threads, .first_cpu_pinned = std::nullopt});
  }
  return read(*team_);
}

std::uint64_t BenchCluster::weights_bytes() const {
  std::uint64_t bytes = 0;
  for (const auto& node : nodes_) bytes += node->weights_bytes();
  return bytes;
}

std::uint64_t BenchCluster::kv_bytes() const { return kv_bytes_; }

}  // namespace conclave
