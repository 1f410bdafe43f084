#include "cli/bench_workers.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/edge/credentials.h"
#include "base/limits.h"
#include "protocol/codec.h"

namespace conclave {
namespace {

constexpr int kStepsPerExpertRows = 64;  // as real workers do

int BlocksOf(int tokens) { return (tokens + kKvBlockTokens - 1) / kKvBlockTokens; }

Hello HelloOf(const CoordinatorBench& bench, int number) {
  // Room for four times its share of streams, each with the longest answer.
  const int share = (bench.streams + bench.workers - 1) / bench.workers;
  const int blocks = 4 * share * (1 + BlocksOf(bench.prompt + bench.LongAnswer()));
  Hello hello{.uuid = absl::StrCat("bench-worker-", number),
              .address = absl::StrCat("bench:", number),
              .model = bench.facts,
              .numerics = 1,
              .kernels = "none",
              .kv_dtype = "bf16",
              .exchange = "none",
              .standby_address = absl::StrCat("bench-worker-", number, "#0")};
  hello.model.expert_bytes = 1 << 20;
  hello.kv_blocks = blocks;
  hello.rows_max = bench.rows;
  hello.arrivals_max = kWorkerRowsMax;
  hello.threads = 1;
  return hello;
}

// Every worker is a machine of its own: no two share a connection.
std::shared_ptr<grpc::Channel> OwnChannelTo(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(-1);
  return grpc::CreateCustomChannel(address, ChannelCredentialsFor(), arguments);
}

}  // namespace

void PlanWatch::PromptsCome(std::int64_t tokens) {
  std::lock_guard lock(mutex_);
  prompts_left_ += tokens;
  held_ = true;
}

void PlanWatch::PromptsAreThere() {
  std::lock_guard lock(mutex_);
  counted_from_ = StepId{newest_.value + 1};
  held_ = false;
}

void PlanWatch::Stop() {
  std::lock_guard lock(mutex_);
  stopped_ = true;
}

void PlanWatch::Note(const StepAsk& ask) {
  std::lock_guard lock(mutex_);
  if (stopped_) return;
  newest_ = std::max(newest_, ask.step);
  Step& step = open_[ask.step];
  step.step = ask.step;
  const std::int64_t rows = ask.part.rows();
  step.least = step.parts == 0 ? rows : std::min(step.least, rows);
  step.rows += rows;
  for (const Chunk& chunk : ask.part.chunks) {
    const bool decodes = chunk.count == 1 && chunk.sample;
    step.prompt_rows += decodes ? 0 : chunk.count;
  }
  if (++step.parts < static_cast<int>(ask.part_digests.size())) return;
  Count(step);
  open_.erase(ask.step);
}

void PlanWatch::Count(const Step& step) {
  ++steps_;
  rows_ += step.rows;
  const std::int64_t room = std::int64_t{bench_.workers} * bench_.rows;
  if (prompts_left_ >= room && !held_ && step.step >= counted_from_) {
    ++steps_filled_;
    least_ = std::min(least_, static_cast<double>(step.least) / bench_.rows);
    mean_sum_ += static_cast<double>(step.rows) / static_cast<double>(room);
  }
  prompts_left_ -= step.prompt_rows;
}

void PlanWatch::FillIn(LoadReport& report) const {
  std::lock_guard lock(mutex_);
  report.steps = steps_;
  if (steps_ > 0) report.rows_per_step = static_cast<double>(rows_) / static_cast<double>(steps_);
  report.steps_filled = steps_filled_;
  if (steps_filled_ == 0) return;
  report.fill_min = least_;
  report.fill_mean = mean_sum_ / static_cast<double>(steps_filled_);
}

BenchWorker::BenchWorker(const CoordinatorBench& bench, const std::string& address, int number,
                         PlanWatch& watch)
    : watch_(watch),
      stub_(cluster::v1::ControlService::NewStub(OwnChannelTo(address))),
      stream_(stub_->Attend(&context_)),
      worker_(HelloOf(bench, number), Slot{-1}) {
  worker_.expert_rows.clear();
  {
    std::lock_guard lock(mutex_);
    Say(worker_.hello());
  }
  thread_ = std::thread([this] { Listen(); });
}

BenchWorker::~BenchWorker() {
  context_.TryCancel();
  thread_.join();
}

void BenchWorker::Listen() {
  cluster::v1::AttendResponse incoming;
  while (stream_->Read(&incoming)) {
    const absl::StatusOr<ToWorker> message = DecodeToWorker(incoming.message());
    std::lock_guard lock(mutex_);
    if (message.ok()) {
      Hear(*message);
    } else if (complaint_.empty()) {
      complaint_ = std::string(message.status().message());
    }
  }
  std::lock_guard lock(mutex_);
  over_ = true;
}

void BenchWorker::Hear(const ToWorker& message) {
  if (std::holds_alternative<RecorderAsked>(message)) return;
  if (const auto* ask = std::get_if<StepAsk>(&message)) watch_.Note(*ask);
  if (std::holds_alternative<Prepare>(message)) committed_ = 0;
  if (const auto* commit = std::get_if<Commit>(&message)) committed_ = commit->epoch.number;
  worker_.Hear(message);
  RunSteps();
  if (complaint_.empty() && !worker_.complaints().empty()) complaint_ = worker_.complaints()[0];
  if (worker_.dismissed()) context_.TryCancel();  // as a process that ends
}

void BenchWorker::RunSteps() {
  while (worker_.HasStep() && !watch_.held()) {
    const ModelFacts& facts = worker_.hello().model;
    const auto pairs = static_cast<std::size_t>(facts.moe_layers * facts.experts);
    const bool tells = worker_.steps_run() % kStepsPerExpertRows == kStepsPerExpertRows - 1;
    worker_.expert_rows.assign(tells ? pairs : 0, 1);
    worker_.RunStep();
  }
  while (!worker_.said().empty()) {
    Say(worker_.said().front());
    worker_.said().pop_front();
  }
}

void BenchWorker::Go() {
  std::lock_guard lock(mutex_);
  if (!over_) RunSteps();
}

void BenchWorker::Say(const FromWorker& message) {
  cluster::v1::AttendRequest outgoing;
  outgoing.set_message(Encode(message));
  stream_->Write(outgoing);  // one that fails ends the reading, too
}

void BenchWorker::Beat() {
  std::lock_guard lock(mutex_);
  if (over_) return;
  Say(Heartbeat{.epoch = worker_.epoch(),
                .progress = ++beats_,
                .rss_bytes = std::uint64_t{1} << 30});
}

int BenchWorker::slot() {
  std::lock_guard lock(mutex_);
  return worker_.slot().value;
}

std::uint64_t BenchWorker::epoch() {
  std::lock_guard lock(mutex_);
  return committed_;
}

bool BenchWorker::over() {
  std::lock_guard lock(mutex_);
  return over_;
}

std::string BenchWorker::complaint() {
  std::lock_guard lock(mutex_);
  return complaint_;
}

}  // namespace conclave
