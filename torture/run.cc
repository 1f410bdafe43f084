#include "torture/run.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/edge/clock.h"
#include "base/edge/credentials.h"
#include "base/philox.h"
#include "base/status.h"
#include "cli/interrupt.h"
#include "cli/load.h"
#include "cli/version.h"
#include "grpcpp/client_context.h"
#include "torture/asks.h"
#include "torture/bad_model.h"
#include "torture/cluster_watch.h"
#include "torture/log_book.h"
#include "torture/tally.h"
#include "torture/tormentor.h"
#include "torture/worst.h"

namespace conclave::torture {
namespace {

constexpr Micros kTick = 5'000;

class Run {
 public:
  explicit Run(const TortureOptions& options)
      : options_(options), start_(SteadyMicros()), kinds_(options.kinds) {}
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  absl::StatusOr<Report> Go();

 private:
  absl::Status OpenBook();
  void OpenNet();
  absl::Status StartFleet();
  absl::Status WaitUntilAllServe();
  absl::Status MakeLoad();
  absl::Status LearnTruth();
  absl::Status Torment();
  absl::Status FinishStreams(Micros limit);
  absl::Status AskAllOnce(StreamLoad::OverFn over);
  absl::Status Await(Micros limit, const std::string& what, const std::function<bool()>& done);
  Report Conclude();
  void Note(std::string note);

  const TortureOptions& options_;
  const Micros start_;
  std::vector<DeedKind> kinds_;
  std::vector<std::string> notes_, failures_;
  // In the order of their lives.
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::unique_ptr<std::FILE, Close> file_;
  std::unique_ptr<LogBook> book_;
  std::unique_ptr<NetLab> net_;
  std::unique_ptr<BadModel> bad_model_;
  std::unique_ptr<Fleet> fleet_;
  std::unique_ptr<ClusterWatch> watch_;
  std::vector<Answer> truth_;
  std::unique_ptr<Tally> tally_;
  std::unique_ptr<StreamLoad> load_;
  std::unique_ptr<Tormentor> tormentor_;
  std::vector<Rng> draws_;  // [stream]
  std::vector<Gap> steady_, disturbed_;
  Micros load_began_ = 0, load_ended_ = 0;
  std::int64_t tokens_before_ = 0, tokens_steady_ = 0, tokens_after_ = 0;
};

void Run::Note(std::string note) {
  book_->Say("torture", note);
  notes_.push_back(std::move(note));
}

absl::Status Run::OpenBook() {
  if (!options_.log_file.empty()) {
    file_.reset(std::fopen(options_.log_file.c_str(), "we"));
    if (file_ == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("cannot write ", options_.log_file));
    }
  }
  book_ = std::make_unique<LogBook>(start_, file_.get(), options_.verbose);
  return absl::OkStatus();
}

void Run::OpenNet() {
  if (!options_.partitions) return;
  auto net = NetLab::Start(options_.fleet.workers_max);
  if (net.ok()) {
    net_ = *std::move(net);
    return;
  }
  Note(absl::StrCat("partitions skipped: ", std::string(net.status().message())));
  std::erase(kinds_, DeedKind::kPartition);
}

absl::Status Run::Await(Micros limit, const std::string& what, const std::function<bool()>& done) {
  const Micros until = SteadyMicros() + limit;
  while (!done()) {
    if (WaitForInterrupt(kTick)) return absl::CancelledError("interrupted");
    if (SteadyMicros() > until) return absl::DeadlineExceededError(what);
  }
  return absl::OkStatus();
}

absl::Status Run::StartFleet() {
  fleet_ = std::make_unique<Fleet>(options_.fleet, *book_, net_.get());
  RETURN_IF_ERROR(fleet_->StartCoordinator(options_.fleet.workers));
  for (int i = 0; i < options_.fleet.workers; ++i) RETURN_IF_ERROR(fleet_->StartWorker(i));
  watch_ = std::make_unique<ClusterWatch>(ChannelTo(fleet_->admin_address()));
  return WaitUntilAllServe();
}

absl::Status Run::WaitUntilAllServe() {
  absl::Status died;
  const absl::Status status = Await(options_.start_limit, "the cluster is not ready in time", [&] {
    if (fleet_->CoordinatorDied()) {
      died = absl::UnavailableError(absl::StrCat("the coordinator ", fleet_->CoordinatorEpitaph()));
    }
    for (int i = 0; i < options_.fleet.workers && died.ok(); ++i) {
      if (fleet_->At(i)->Alive()) continue;
      died = absl::UnavailableError(absl::StrCat("worker ", i, " ", fleet_->At(i)->Epitaph()));
    }
    const Sighting seen = watch_->Now();
    const bool all = static_cast<int>(seen.active.size()) >= options_.fleet.workers;
    return !died.ok() || (seen.ready && all);
  });
  if (absl::IsDeadlineExceeded(status)) {
    return absl::DeadlineExceededError(
        absl::StrCat(std::string(status.message()), ": ", watch_->Now().news));
  }
  return died.ok() ? status : died;
}

absl::Status Run::MakeLoad() {
  const auto channel = ChannelTo(fleet_->address());
  const auto stub = v1::InferenceService::NewStub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  v1::GetModelInfoResponse model;
  if (const grpc::Status asked = stub->GetModelInfo(&context, {}, &model); !asked.ok()) {
    return absl::UnavailableError(absl::StrCat("asking for the model: ", asked.error_message()));
  }
  load_ = std::make_unique<StreamLoad>(
      channel,
      MakeAsks({.seed = options_.seed,
                .count = options_.pool,
                .vocab = model.vocab_size(),
                .context = model.context()}),
      StreamLoad::Options{
          .streams = options_.streams, .limit = options_.request_limit, .id_prefix = "torture"});
  for (int i = 0; i < options_.streams; ++i) {
    draws_.emplace_back(options_.seed, static_cast<std::uint64_t>(100'000 + i));
  }
  return absl::OkStatus();
}

// Each ask of the pool once, in the order of the pool.
absl::Status Run::AskAllOnce(StreamLoad::OverFn over) {
  auto next = std::make_shared<int>(0);
  load_->Start([next, count = options_.pool](
                   int) { return *next < count ? std::optional<int>((*next)++) : std::nullopt; },
               std::move(over));
  return FinishStreams(2 * options_.request_limit);
}

absl::Status Run::FinishStreams(Micros limit) {
  const absl::Status status = Await(limit, "streams do not end", [&] {
    if (tormentor_ != nullptr) tormentor_->Tick(SteadyMicros());
    load_->Tick(SteadyMicros());
    return load_->running() == 0;
  });
  if (!status.ok()) load_->CancelAll();
  return status;
}

absl::Status Run::LearnTruth() {
  truth_.resize(static_cast<std::size_t>(options_.pool));
  absl::Status failed;
  RETURN_IF_ERROR(AskAllOnce([&](const Course& course) {
    if (!course.error.empty()) {
      failed =
          absl::UnavailableError(absl::StrCat("an undisturbed request failed: ", course.error));
    }
    truth_[static_cast<std::size_t>(course.ask)] = course.answer;
  }));
  load_->TakeGaps();
  tally_ = std::make_unique<Tally>(truth_);
  return failed;
}

absl::Status Run::Torment() {
  ASSIGN_OR_RETURN(bad_model_, BadModel::Make(options_.fleet.model));
  tormentor_ =
      std::make_unique<Tormentor>(Tormentor::Parts{*fleet_, *watch_, *load_, *book_, net_.get()},
                                  TormentorOptions{.join_limit = options_.join_limit,
                                                   .drain_limit = options_.drain_limit,
                                                   .bad_model = bad_model_->path()},
                                  options_.fleet.workers);
  const std::vector<Deed> plan = PlanDeeds({.seed = options_.seed,
                                            .workers = options_.fleet.workers,
                                            .workers_max = options_.fleet.workers_max,
                                            .first = options_.steady,
                                            .last = options_.length,
                                            .pause = options_.pause,
                                            .kinds = kinds_});
  const auto take = [this](const Course& course) { tally_->Take(course); };
  tokens_before_ = load_->tokens();
  load_began_ = SteadyMicros();
  load_->Start(
      [this](int stream) {
        Rng& draw = draws_[static_cast<std::size_t>(stream)];
        return static_cast<int>(draw.Below(static_cast<std::uint64_t>(options_.pool)));
      },
      take);
  RETURN_IF_ERROR(Await(2 * options_.steady + kTick, "",
                        [&] { return SteadyMicros() - load_began_ >= options_.steady; }));
  steady_ = load_->TakeGaps();
  tokens_steady_ = load_->tokens();
  tormentor_->Begin(load_began_, plan);
  RETURN_IF_ERROR(Await(2 * options_.length, "", [&] {
    const Micros now = SteadyMicros();
    tormentor_->Tick(now);
    load_->Tick(now);
    return now - load_began_ >= options_.length;
  }));
  tormentor_->Heal(SteadyMicros());
  tokens_after_ = load_->tokens();
  load_ended_ = SteadyMicros();
  load_->Rest();
  const absl::Status streams = FinishStreams(2 * options_.request_limit);
  if (absl::IsCancelled(streams)) return streams;
  if (!streams.ok()) failures_.emplace_back(streams.message());
  const absl::Status settled = Await(2 * options_.join_limit, "never settled", [&] {
    tormentor_->Tick(SteadyMicros());
    return tormentor_->Settled();
  });
  if (absl::IsCancelled(settled)) return settled;
  if (!settled.ok())
    failures_.push_back(absl::StrCat("never whole again: ", tormentor_->Unsettled()));
  disturbed_ = load_->TakeGaps();
  return settled.ok() ? AskAllOnce(take) : absl::OkStatus();
}

double Seconds(Micros length) { return static_cast<double>(length) / 1e6; }

Report Run::Conclude() {
  Report report;
  tally_->Fill(report);
  report.failures.insert(report.failures.end(), failures_.begin(), failures_.end());
  const auto& failures = tormentor_->failures();
  report.failures.insert(report.failures.end(), failures.begin(), failures.end());
  report.notes = notes_;
  report.notes.insert(report.notes.end(), tormentor_->notes().begin(), tormentor_->notes().end());
  report.retries = load_->retries();
  report.tokens_per_second =
      static_cast<double>(tokens_after_ - tokens_before_) / Seconds(load_ended_ - load_began_);
  report.steady_tokens_per_second =
      static_cast<double>(tokens_steady_ - tokens_before_) / Seconds(options_.steady);
  std::vector<double> gaps;
  for (const Gap& gap : steady_) gaps.push_back(static_cast<double>(gap.length()) / 1e3);
  report.steady_p50_ms = QuantileOf(gaps, 0.5);
  report.steady_p99_ms = QuantileOf(gaps, 0.99);
  report.steady_max_ms = QuantileOf(gaps, 1.0);
  for (const DeedKind kind : kDeedKinds) report.done.push_back(tormentor_->Count(kind));
  report.restarts = tormentor_->restarts();
  report.skipped = tormentor_->skipped();
  report.refusals = tormentor_->refusals();
  std::vector<std::size_t> index;
  const std::vector<Window> windows = tormentor_->Windows(index);
  report.stalls = Measure(disturbed_, windows);
  std::vector<double> worst = report.stalls.worst_by_deed_ms;
  report.stall_p50_ms = QuantileOf(worst, 0.5);
  report.stall_p99_ms = QuantileOf(worst, 0.99);
  std::vector<std::string> names;
  for (const std::size_t record : index) names.push_back(tormentor_->records()[record].what);
  SayWorst(disturbed_, windows, names, *book_, start_);
  report.seed = options_.seed;
  report.model = options_.fleet.model;
  report.commit = BuildCommit();
  report.kernels = watch_->Now().kernels;
  report.workers = options_.fleet.workers;
  report.workers_max = options_.fleet.workers_max;
  report.streams = options_.streams;
  report.threads = options_.fleet.threads;
  report.cores = static_cast<int>(std::thread::hardware_concurrency());
  report.seconds = options_.seconds;
  return report;
}

absl::StatusOr<Report> Run::Go() {
  RETURN_IF_ERROR(OpenBook());
  OpenNet();
  RETURN_IF_ERROR(StartFleet());
  RETURN_IF_ERROR(MakeLoad());
  book_->Say("torture", "asking undisturbed");
  RETURN_IF_ERROR(LearnTruth());
  book_->Say("torture", "load begins");
  RETURN_IF_ERROR(Torment());
  return Conclude();
}

}  // namespace

absl::StatusOr<Report> RunTorture(const TortureOptions& options) { return Run(options).Go(); }

}  // namespace conclave::torture
