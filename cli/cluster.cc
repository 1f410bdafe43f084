#include "cli/cluster.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/edge/clock.h"
#include "base/status.h"
#include "cli/version.h"
#include "conclave/v1/admin.grpc.pb.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "kernels/kernel_set.h"
#include "model/edge/checkpoint.h"
#include "worker/edge/kv_budget.h"
#include "worker/edge/machine.h"

namespace conclave {
namespace {

constexpr Micros kEndLimit = 3'000'000;  // for a worker process to end when asked

std::string WithPort(const std::string& address, int port) {
  return absl::StrCat(address.substr(0, address.rfind(':')), ":", port);
}

// A wildcard is no address to connect to.
std::string Connectable(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  const std::string host = address.substr(0, colon);
  const bool any = host == "0.0.0.0" || host == "[::]" || host == "*" || host.empty();
  return any ? absl::StrCat("127.0.0.1", address.substr(colon)) : address;
}

// Each of `workers` on one machine would take a quarter of what is free: so they share one.
absl::StatusOr<std::uint64_t> KvBytesEach(const ServeFlags& flags) {
  const auto workers = static_cast<std::uint64_t>(flags.workers);
  if (flags.compute.kv_memory) return *flags.compute.kv_memory / workers;
  WorkerOptions options;
  RETURN_IF_ERROR(Apply(flags.compute, flags.coordinator.insecure, options));
  std::vector<std::string> filled;
  ASSIGN_OR_RETURN(const KernelSet kernels, SelectKernels(options.kernels, filled));
  ASSIGN_OR_RETURN(const ModelConfig model, LoadConfig(flags.coordinator.model_dir));
  return PlanKv({.model = model,
                 .kernels = kernels,
                 .dtype = options.kv_dtype,
                 .bytes = std::nullopt,
                 .available_bytes = AvailableMemoryBytes() / workers})
      .bytes;
}

// Whether a worker's line of log, in either format, is to be shown at `level`. What is no line of
// log is a worker's last word; it is in its epitaph, too.
bool IsShown(std::string_view line, const std::string& level) {
  if (level == "info") return true;
  constexpr std::size_t kLetterAt = 13;  // after "HH:MM:SS.mmm "
  const auto is = [line](char letter, std::string_view word) {
    const bool text = line.size() > kLetterAt && line[kLetterAt] == letter && line[2] == ':';
    return text || line.find(word) != std::string_view::npos;
  };
  if (is('E', "\"level\":\"error\"")) return true;
  return level == "warning" && !is('I', "\"level\":\"info\"");
}

}  // namespace

int ThreadsOfWorker(int threads, int cores, int workers, int worker) {
  const int all = threads > 0 ? threads : cores;
  return std::max(1, all / workers + (worker < all % workers ? 1 : 0));
}

LocalCluster::LocalCluster(const ServeFlags& flags) : flags_(flags), log_(MakeLog(flags.log)) {}

LocalCluster::~LocalCluster() { Stop({}, nullptr); }

absl::StatusOr<std::unique_ptr<LocalCluster>> LocalCluster::Start(const ServeFlags& flags) {
  if (flags.coordinator.model_dir.empty()) {
    return absl::InvalidArgumentError("--model DIR is needed: the directory of a model");
  }
  std::unique_ptr<LocalCluster> cluster(new LocalCluster(flags));
  RETURN_IF_ERROR(cluster->StartCoordinator());
  if (flags.workers == 0) {
    RETURN_IF_ERROR(cluster->StartEmbeddedWorker());
  } else {
    RETURN_IF_ERROR(cluster->StartWorkerProcesses());
  }
  return cluster;
}

absl::Status LocalCluster::StartCoordinator() {
  CoordinatorOptions options = flags_.coordinator;
  options.core.workers_wanted = std::max(1, flags_.workers);
  options.version = BuildVersion();
  options.commit = BuildCommit();
  options.log = log_;
  options.recorder = &coordinator_recorder_;
  ASSIGN_OR_RETURN(server_, CoordinatorServer::Start(std::move(options)));
  return absl::OkStatus();
}

absl::Status LocalCluster::StartEmbeddedWorker() {
  WorkerOptions options;
  options.model_dir = flags_.coordinator.model_dir;
  RETURN_IF_ERROR(Apply(flags_.compute, flags_.coordinator.insecure, options));
  options.hub = &hub_;
  options.coordinator = server_->InProcessChannel();
  options.log = [this](LogLevel level, std::string_view line) {
    Hear(std::string(line));
    log_(level, line);
  };
  options.recorder = &worker_recorder_;
  ASSIGN_OR_RETURN(worker_, WorkerRunner::Start(std::move(options)));
  return absl::OkStatus();
}

absl::Status LocalCluster::StartWorkerProcesses() {
  ASSIGN_OR_RETURN(const std::uint64_t kv_bytes, KvBytesEach(flags_));
  if (flags_.compute.exchange == "local") {
    return absl::InvalidArgumentError(
        "--exchange local moves rows inside one process: leave out --workers, or take ucx");
  }
  for (int i = 0; i < flags_.workers; ++i) {
    ASSIGN_OR_RETURN(Child child, StartWorkerProcess(i, kv_bytes));
    children_.push_back(std::move(child));
  }
  return absl::OkStatus();
}

absl::StatusOr<LocalCluster::Child> LocalCluster::StartWorkerProcess(int index,
                                                                     std::uint64_t kv_bytes) {
  const ComputeFlags& compute = flags_.compute;
  const std::string name = absl::StrCat("worker ", index);
  std::vector<std::string> arguments = {
      ProgramBesideThis("conclave-worker"),
      absl::StrCat("--coordinator=", Connectable(listen_address())),
      absl::StrCat("--model=", flags_.coordinator.model_dir),
      absl::StrCat("--threads=",
                   ThreadsOfWorker(compute.threads, CoresHere(), flags_.workers, index)),
      absl::StrCat("--kv-memory=", kv_bytes),
      absl::StrCat("--kv-dtype=", compute.kv_dtype),
      absl::StrCat("--exchange=", compute.exchange),
      absl::StrCat("--kernels=", compute.kernels),
      absl::StrCat("--rows-max=", compute.rows_max),
      absl::StrCat("--arrivals-max=", compute.arrivals_max),
      absl::StrCat("--log-format=", flags_.log.format),
  };
  if (!compute.ucx_transports.empty()) {
    arguments.push_back(absl::StrCat("--ucx-transports=", compute.ucx_transports));
  }
  // All workers run on this machine, so they exchange over loopback, whatever the coordinator
  // listens on.
  arguments.push_back(absl::StrCat(
      "--exchange-bind=", compute.exchange_bind.empty() ? "127.0.0.1" : compute.exchange_bind));
  if (flags_.coordinator.insecure) arguments.push_back("--insecure");
  if (!flags_.flight_directory.empty()) {
    arguments.push_back(absl::StrCat("--flight-recorder-dir=", flags_.flight_directory));
  }
  const bool json = flags_.log.format == "json";
  auto process = ChildProcess::Start(arguments, [=, this](std::string_view line) {
    const std::string text =
        json ? std::string(line) : absl::StrCat("[", name, "] ", std::string(line));
    Hear(text);
    if (!quiet_ && IsShown(line, flags_.log.level)) std::fprintf(stderr, "%s\n", text.c_str());
  });
  if (!process.ok()) return process.status();
  return Child{name, *std::move(process), false};
}

void LocalCluster::Hear(const std::string& line) {
  std::lock_guard lock(mutex_);
  news_ = line;
}

absl::Status LocalCluster::WaitUntilReady(absl::FunctionRef<bool()> stop,
                                          absl::FunctionRef<void(const std::string&)> look) {
  const Micros deadline = SteadyMicros() + flags_.start_timeout;
  while (!server_->ready()) {
    if (stop()) return absl::CancelledError("interrupted");
    for (Child& child : children_) {
      if (child.process->Alive()) continue;
      return absl::UnavailableError(absl::StrCat(child.name, " ", child.process->Epitaph()));
    }
    RETURN_IF_ERROR(CheckWorkers());
    if (SteadyMicros() > deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat("not ready in time (--start-timeout): ", WhoIsMissing()));
    }
    std::string news;
    {
      std::lock_guard lock(mutex_);
      news = news_;
    }
    look(news);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return absl::OkStatus();
}

std::string LocalCluster::WhoIsMissing() {
  const auto stub = v1::AdminService::NewStub(
      grpc::CreateChannel(Connectable(admin_address()), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(2));
  v1::GetClusterResponse response;
  const grpc::Status status = stub->GetCluster(&context, {}, &response);
  return status.ok() ? response.not_ready_because() : "the coordinator does not answer";
}

absl::Status LocalCluster::CheckWorkers() {
  if (worker_ != nullptr) {
    const std::optional<WorkerExit> exit = worker_->WaitForExit(0);
    if (!exit) return absl::OkStatus();
    return absl::UnavailableError(absl::StrCat("the worker has ended: ", exit->reason));
  }
  bool one_lives = false;
  for (Child& child : children_) {
    if (child.process->Alive()) {
      one_lives = true;
    } else if (!std::exchange(child.mourned, true)) {
      const bool drained = child.process->EndedWell();
      log_(drained ? LogLevel::kInfo : LogLevel::kError,
           absl::StrCat(child.name, " ", drained ? "has left" : child.process->Epitaph()));
    }
  }
  if (one_lives) return absl::OkStatus();
  return absl::UnavailableError("no worker is left");
}

void LocalCluster::Stop(const ShutdownPlan& plan, bool (*hurry)()) {
  if (std::exchange(stopped_, true)) return;
  if (server_ != nullptr) server_->Drain(plan, hurry);
  worker_.reset();  // before the server whose channel it uses
  quiet_ = true;    // what worker processes say about an end that was wanted helps nobody
  if (server_ != nullptr) server_->Shutdown({});
  for (Child& child : children_) child.process->AskToEnd();
  for (Child& child : children_) child.process->WaitForEnd(kEndLimit);
  children_.clear();  // kills what is left
}

std::vector<const FlightRecorder*> LocalCluster::recorders() const {
  std::vector<const FlightRecorder*> recorders = {&coordinator_recorder_};
  if (worker_ != nullptr) recorders.push_back(&worker_recorder_);
  return recorders;
}

std::string LocalCluster::listen_address() const {
  return WithPort(flags_.coordinator.listen, server_->port());
}
std::string LocalCluster::admin_address() const {
  return WithPort(flags_.coordinator.admin, server_->admin_port());
}
std::string LocalCluster::admin_http_address() const {
  return WithPort(flags_.coordinator.admin, server_->admin_http_port());
}

}  // namespace conclave
