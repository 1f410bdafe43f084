// The load of `conclave bench coordinator`, in a process of its own: workers that come one by one,
// a wave of streams that is timed, then a second wave while workers are lost, join and drain and
// while everybody asks for the status.
#include <atomic>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/edge/clock.h"
#include "base/edge/credentials.h"
#include "cli/bench_coordinator.h"
#include "cli/bench_streams.h"
#include "cli/bench_workers.h"
#include "conclave/v1/admin.grpc.pb.h"

namespace conclave {
namespace {

constexpr Micros kPatience = 120'000'000;  // for anything that should happen
constexpr Micros kBeatEvery = 100'000;
constexpr int kDrains = 3;
constexpr int kLoadQuestions = 500, kClusterQuestions = 10;

class LoadProcess {
 public:
  LoadProcess(const CoordinatorBench& bench, LineSocket& parent, std::string address,
              std::string admin)
      : bench_(bench),
        parent_(parent),
        address_(std::move(address)),
        admin_(std::move(admin)),
        watch_(bench),
        heart_([this] { BeatAll(); }) {}
  ~LoadProcess() {
    stopping_ = true;
    heart_.join();
  }

  void Run() {
    for (int i = 0; i < bench_.workers && ok(); ++i) {
      News(absl::StrCat("worker ", i + 1, " of ", bench_.workers, " joins"));
      Join();
    }
    AwaitEpoch(1);
    Mark(kMarkServing);
    if (ok()) TimeOneWave();
    watch_.Stop();
    watch_.FillIn(report_);
    if (ok()) ChangeMembers();
    Mark(kMarkChanged);
    LookForComplaints();
  }
  const LoadReport& report() const { return report_; }

 private:
  bool ok() const { return report_.failures == 0; }
  void Fail(const std::string& why) {
    if (report_.failures++ == 0) report_.first_failure = why;
  }
  void News(const std::string& text) { parent_.Send("news " + text); }
  void Mark(const std::string& name) {
    std::string answer;
    if (!parent_.Send("mark " + name) || !parent_.Receive(answer)) Fail("the coordinator is gone");
  }

  template <typename Fits>
  bool Await(const std::string& what, Fits fits) {
    const Micros until = SteadyMicros() + kPatience;
    while (!fits()) {
      if (SteadyMicros() > until) {
        Fail("waited in vain for " + what);
        return false;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }

  void BeatAll() {
    while (!stopping_) {
      {
        std::lock_guard lock(mutex_);
        for (const auto& worker : workers_) worker->Beat();
      }
      std::this_thread::sleep_for(std::chrono::microseconds(kBeatEvery));
    }
  }

  void Join() {
    auto worker = std::make_unique<BenchWorker>(bench_, address_, next_worker_++, watch_);
    BenchWorker* const raw = worker.get();
    {
      std::lock_guard lock(mutex_);
      workers_.push_back(std::move(worker));
    }
    Await("a welcome", [raw] { return raw->slot() >= 0; });
  }

  // Until every worker that is there serves an epoch of at least this number.
  void AwaitEpoch(std::uint64_t least) {
    Await(absl::StrCat("epoch ", least), [&] {
      for (const auto& worker : workers_) {
        if (worker->epoch() < least) return false;
      }
      return true;
    });
  }
  std::uint64_t epoch() { return workers_.front()->epoch(); }

  // Takes out one worker; destroying it ends its stream.
  std::unique_ptr<BenchWorker> TakeOut(std::size_t index) {
    std::lock_guard lock(mutex_);
    std::unique_ptr<BenchWorker> worker = std::move(workers_[index]);
    workers_.erase(workers_.begin() + static_cast<std::ptrdiff_t>(index));
    return worker;
  }

  void TimeOneWave() {
    BenchStreams streams(bench_, address_);
    watch_.PromptsCome(std::int64_t{bench_.streams} * bench_.prompt);
    News("prompts");
    streams.Start(/*wave=*/0, bench_.generate);
    const auto client = v1::InferenceService::NewStub(ChannelTo(address_));
    Await("all prompts to be accepted", [&] {
      grpc::ClientContext context;
      v1::GetLoadResponse load;
      return client->GetLoad(&context, {}, &load).ok() &&
             load.requests_running() + load.requests_waiting() == bench_.streams;
    });
    watch_.PromptsAreThere();
    for (const auto& worker : workers_) worker->Go();
    if (!streams.AwaitAnEnd(kPatience)) return Fail("no stream ended");
    Mark(kMarkFull);
    if (!streams.AwaitAllEnds(kPatience)) Fail("not every stream ended");
    Mark(kMarkDone);
    if (streams.failures() > 0) Fail(streams.first_failure());
  }

  void ChangeMembers() {
    BenchStreams streams(bench_, address_);
    News("prompts again");
    streams.Start(/*wave=*/1, bench_.LongAnswer());
    if (!streams.AwaitFirstTokens(kPatience)) return Fail("not every stream got a second token");
    std::thread storm([this] { AskAll(); });
    if (bench_.workers > 1) {
      News("a worker is lost");
      const std::uint64_t before = epoch();
      TakeOut(workers_.size() / 2).reset();
      AwaitEpoch(before + 1);
    }
    if (ok()) {
      News("a worker joins");
      const std::uint64_t before = epoch();
      Join();
      AwaitEpoch(before + 1);
    }
    for (int i = 0; i < kDrains && bench_.workers > 2 * kDrains && ok(); ++i) Drain();
    storm.join();
    News("clients leave");
    streams.Cancel();
    streams.AwaitAllEnds(kPatience);
    if (streams.failures() > 0) Fail(streams.first_failure());
  }

  void Drain() {
    News("a worker is drained");
    const std::size_t index = workers_.size() - 1;
    const auto stub = v1::AdminService::NewStub(ChannelTo(admin_));
    grpc::ClientContext context;
    v1::DrainWorkerRequest request;
    request.set_worker(absl::StrCat(workers_[index]->slot()));
    v1::DrainWorkerResponse response;
    const grpc::Status status = stub->DrainWorker(&context, request, &response);
    if (!status.ok()) return Fail("drain: " + status.error_message());
    BenchWorker* const leaver = workers_[index].get();
    if (Await("a drained worker's end", [leaver] { return leaver->over(); })) {
      TakeOut(index).reset();
    }
  }

  // Everybody asks how it goes.
  void AskAll() {
    const auto client = v1::InferenceService::NewStub(ChannelTo(address_));
    const auto admin = v1::AdminService::NewStub(ChannelTo(admin_));
    for (int i = 0; i < kLoadQuestions; ++i) {
      grpc::ClientContext context;
      v1::GetLoadResponse load;
      if (!client->GetLoad(&context, {}, &load).ok()) return;
      if (i % (kLoadQuestions / kClusterQuestions) != 0) continue;
      grpc::ClientContext other;
      v1::GetClusterResponse cluster;
      admin->GetCluster(&other, {}, &cluster);
    }
  }

  void LookForComplaints() {
    for (const auto& worker : workers_) {
      if (std::string complaint = worker->complaint(); !complaint.empty()) Fail(complaint);
    }
  }

  const CoordinatorBench& bench_;
  LineSocket& parent_;
  const std::string address_, admin_;
  LoadReport report_;
  PlanWatch watch_;
  int next_worker_ = 0;
  std::mutex mutex_;  // of workers_, which only the thread of Run changes
  std::vector<std::unique_ptr<BenchWorker>> workers_;
  std::atomic<bool> stopping_{false};
  std::thread heart_;
};

}  // namespace

int RunCoordinatorLoad(const CoordinatorBench& bench, LineSocket& parent) {
  std::string line;
  if (!parent.Receive(line)) return 1;
  const std::vector<std::string> ports = absl::StrSplit(line, ' ');
  LoadReport report;
  {
    LoadProcess load(bench, parent, "127.0.0.1:" + ports[0], "127.0.0.1:" + ports[1]);
    load.Run();
    report = load.report();
  }
  const nlohmann::json object = {{"steps", report.steps},
                                 {"rows_per_step", report.rows_per_step},
                                 {"fill_min", report.fill_min},
                                 {"fill_mean", report.fill_mean},
                                 {"steps_filled", report.steps_filled},
                                 {"failures", report.failures},
                                 {"first_failure", report.first_failure}};
  parent.Send("report " + object.dump());
  return 0;
}

}  // namespace conclave
