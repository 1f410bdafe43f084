#include "coordinator/edge/server.h"

#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/edge/clock.h"
#include "base/edge/credentials.h"
#include "base/limits.h"
#include "base/status.h"
#include "coordinator/edge/admin.h"
#include "coordinator/edge/control_service.h"
#include "coordinator/edge/errors.h"
#include "coordinator/edge/inference_service.h"
#include "grpcpp/ext/health_check_service_server_builder_option.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/grpcpp.h"
#include "model/edge/checkpoint.h"
#include "model/params.h"

namespace conclave {
namespace {

constexpr int kMetadataBytesMax = 16 << 10;   // of one call's headers
constexpr int kStreamsPerConnection = 16384;  // calls at once of one client
constexpr int kPingMinMs = 10'000;            // clients may ping so often: prefill sends no data
constexpr int kKeepaliveMs = 20'000;          // and we do, so that a dead client shows
constexpr int kKeepaliveTimeoutMs = 10'000;
constexpr int kConnectionAgeMs = 30 * 60'000;  // clients spread over new replicas; calls go on

constexpr int kTextThreadsMax = 4;

// host:port + 1; port 0 stays 0.
absl::StatusOr<std::string> NextPort(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  int port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(address.substr(colon + 1), &port) ||
      port < 0 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("--admin ", address, ": expected host:port"));
  }
  return absl::StrCat(address.substr(0, colon), ":", port == 0 ? 0 : port + 1);
}

void SetLimits(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(static_cast<int>(kRequestBytesMax));
  builder.SetMaxSendMessageSize(-1);  // bounded by what a request may ask for
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMetadataBytesMax);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsPerConnection);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kPingMinMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, kConnectionAgeMs);
  // Two servers on one port would share its clients by chance.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
}

absl::StatusOr<std::unique_ptr<grpc::Server>> Listen(grpc::ServerBuilder& builder, const char* flag,
                                                     const std::string& address, int& port) {
  builder.AddListeningPort(address, ServerCredentialsFor(), &port);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) {
    return absl::AlreadyExistsError(absl::StrCat(
        "cannot listen on ", address, " (", flag,
        "): is the port in use, or the host not ours? Choose another one, or port 0 for any"));
  }
  return server;
}

ServedModel ModelOf(const OpenedModel& model) {
  const ModelConfig& config = model.config;
  return {.facts = model.facts,
          .eos_ids = config.eos_ids,
          .temperature = config.default_temperature,
          .top_p = config.default_top_p,
          .repetition_penalty = config.default_repetition_penalty,
          .top_k = config.default_top_k,
          .context_per_row = ContextPerRow(config)};
}

absl::StatusOr<OpenedModel> OpenModel(const CoordinatorOptions& options) {
  ASSIGN_OR_RETURN(const Checkpoint checkpoint, OpenCheckpoint(options.model_dir));
  OpenedModel model;
  auto text = LoadText(options.model_dir);
  if (text.ok()) {
    model.text = *std::move(text);
  } else if (!absl::IsNotFound(text.status())) {
    return text.status();
  }
  model.config = checkpoint.config;
  model.facts = {.identity = checkpoint.identity,
                 .name = checkpoint.config.name,
                 .vocab = checkpoint.config.vocab,
                 .context = checkpoint.config.context,
                 .moe_layers = checkpoint.config.moe_layers,
                 .experts = checkpoint.config.experts,
                 .topk = checkpoint.config.topk,
                 .expert_bytes = 0};
  return model;
}

CoordinatorOptions WithRecording(CoordinatorOptions options, FlightRecorder& recorder) {
  options.log = Recording(recorder, std::move(options.log));
  return options;
}

}  // namespace

class CoordinatorServer::Impl {
 public:
  explicit Impl(CoordinatorOptions options)
      : own_recorder_("coordinator"),
        recorder_(options.recorder != nullptr ? *options.recorder : own_recorder_),
        options_(WithRecording(std::move(options), recorder_)) {}
  ~Impl() { Shutdown({}, nullptr); }

  void Serve(OpenedModel model);
  absl::Status OpenPorts();
  void Drain(const ShutdownPlan& plan, bool (*hurry)());
  void Shutdown(const ShutdownPlan& plan, bool (*hurry)());

  FlightRecorder own_recorder_;
  FlightRecorder& recorder_;
  const CoordinatorOptions options_;
  Serving serving_;
  Health health_;
  Metrics metrics_;
  AdminDesk desk_{recorder_};
  std::unique_ptr<Text> text_;
  std::unique_ptr<CoordinatorCore> core_;
  std::unique_ptr<Switchboard> switchboard_;
  std::unique_ptr<CoordinatorStrand> strand_;
  std::unique_ptr<WorkPool> pool_;
  InferenceService inference_{serving_};
  ControlService control_{serving_};
  AdminService admin_{serving_};
  std::unique_ptr<grpc::Server> server_, admin_server_;
  std::unique_ptr<HttpServer> probes_;
  int port_ = 0, admin_port_ = 0;

 private:
  void Wait(Micros until, bool (*hurry)(), bool idle_is_enough) const;
  bool down_ = false;
};

// Puts core and strand together; the ports are opened next.
void CoordinatorServer::Impl::Serve(OpenedModel model) {
  text_ = std::move(model.text);
  if (text_ == nullptr) {
    options_.log(LogLevel::kWarning, "the model has no tokenizer.json: token ids only");
  }
  core_ = std::make_unique<CoordinatorCore>(options_.core, ModelOf(model), text_.get());
  serving_.config = std::move(model.config);
  serving_.facts = std::move(model.facts);
  const auto cores = static_cast<int>(std::thread::hardware_concurrency());
  const Switchboard::Parts parts = {
      .metrics = metrics_,
      .desk = desk_,
      .recorder = recorder_,
      .text = text_.get(),
      .text_threads = std::clamp(cores / 4, 1, kTextThreadsMax),
      .judged = [this](TextJudged judged) { strand_->Post(std::move(judged)); }};
  switchboard_ = std::make_unique<Switchboard>(parts, options_.log, [this](bool ready) {
    // Who reads the line and asks at once must hear the same.
    health_.SetCoreReady(ready);
    options_.log(LogLevel::kInfo, ready ? "ready to serve" : "not ready to serve");
  });
  strand_ = std::make_unique<CoordinatorStrand>(*core_, *switchboard_, options_.event_clock);
  pool_ = std::make_unique<WorkPool>(WorkPool::Limits{});
  serving_.text = text_.get();
  serving_.version = options_.version;
  serving_.commit = options_.commit;
  serving_.started_at = SteadyMicros();
  serving_.switchboard = switchboard_.get();
  serving_.desk = &desk_;
  serving_.strand = strand_.get();
  serving_.pool = pool_.get();
}

absl::Status CoordinatorServer::Impl::OpenPorts() {
  std::string http = options_.admin_http;
  if (http.empty()) {
    ASSIGN_OR_RETURN(http, NextPort(options_.admin));
  }
  RETURN_IF_ERROR(CheckExposure("--listen", options_.listen, options_.insecure));
  RETURN_IF_ERROR(CheckExposure("--admin", options_.admin, options_.insecure));
  RETURN_IF_ERROR(CheckExposure("--admin-http", http, options_.insecure));

  // Process-wide switches. What the libraries would print is in our statuses already, and a
  // client's bad bytes must not fill the log.
  gpr_set_log_function([](gpr_log_func_args*) {});
  google::protobuf::SetLogHandler(nullptr);
  // The next concern the servers built from here on.
  grpc::EnableDefaultHealthCheckService(true);
  if (options_.reflection) grpc::reflection::InitProtoReflectionServerBuilderPlugin();

  grpc::ServerBuilder builder;
  SetLimits(builder);
  // Health is asked on the admin port; here it would answer without knowing.
  builder.SetOption(std::make_unique<grpc::HealthCheckServiceServerBuilderOption>(nullptr));
  builder.RegisterService(&inference_);
  builder.RegisterService(&control_);
  ASSIGN_OR_RETURN(server_, Listen(builder, "--listen", options_.listen, port_));

  grpc::ServerBuilder admin_builder;
  SetLimits(admin_builder);
  admin_builder.RegisterService(&admin_);
  ASSIGN_OR_RETURN(admin_server_, Listen(admin_builder, "--admin", options_.admin, admin_port_));
  health_.Attach(admin_server_->GetHealthCheckService());
  ASSIGN_OR_RETURN(probes_, StartProbes(http, serving_, health_, metrics_));
  return absl::OkStatus();
}

// Until `until`, or until somebody is in a hurry, or (if that is enough) no client is left.
void CoordinatorServer::Impl::Wait(Micros until, bool (*hurry)(), bool idle_is_enough) const {
  while (SteadyMicros() < until) {
    if (hurry != nullptr && hurry()) return;
    if (idle_is_enough && switchboard_->clients() == 0) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void CoordinatorServer::Impl::Drain(const ShutdownPlan& plan, bool (*hurry)()) {
  health_.SetDraining();
  Wait(SteadyMicros() + plan.grace, hurry, /*idle_is_enough=*/false);
  serving_.draining = true;
  Wait(SteadyMicros() + plan.drain, hurry, /*idle_is_enough=*/true);
}

void CoordinatorServer::Impl::Shutdown(const ShutdownPlan& plan, bool (*hurry)()) {
  if (std::exchange(down_, true) || core_ == nullptr) return;
  Drain(plan, hurry);

  Ending ending;
  ending.end = End::kUnavailable;
  ending.message = "this server is shutting down";
  for (const RequestId request : switchboard_->EndAll(ending)) {
    strand_->Post(ClientLeft{.now = 0, .request = request});
  }
  // A moment for the last words to be read; then every call that is left is cancelled.
  const auto deadline = std::chrono::system_clock::now() + std::chrono::milliseconds(500);
  switchboard_->DropWorkers("the coordinator is shutting down");
  if (server_ != nullptr) server_->Shutdown(deadline);
  probes_.reset();
  if (admin_server_ != nullptr) admin_server_->Shutdown(deadline);
  pool_.reset();
  strand_->Stop();
  switchboard_->StopText();
}

absl::StatusOr<std::unique_ptr<CoordinatorServer>> CoordinatorServer::Start(
    CoordinatorOptions options) {
  ASSIGN_OR_RETURN(OpenedModel model, OpenModel(options));
  return Start(std::move(options), std::move(model));
}

absl::StatusOr<std::unique_ptr<CoordinatorServer>> CoordinatorServer::Start(
    CoordinatorOptions options, OpenedModel model) {
  auto impl = std::make_unique<Impl>(std::move(options));
  impl->Serve(std::move(model));
  RETURN_IF_ERROR(impl->OpenPorts());
  return std::unique_ptr<CoordinatorServer>(new CoordinatorServer(std::move(impl)));
}

CoordinatorServer::CoordinatorServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CoordinatorServer::~CoordinatorServer() = default;
int CoordinatorServer::port() const { return impl_->port_; }
int CoordinatorServer::admin_port() const { return impl_->admin_port_; }
int CoordinatorServer::admin_http_port() const { return impl_->probes_->port(); }
bool CoordinatorServer::ready() const { return impl_->health_.ready(); }
std::shared_ptr<const ClusterSnapshot> CoordinatorServer::snapshot() const {
  return impl_->strand_->snapshot();
}
const EventTimes& CoordinatorServer::event_times() const { return impl_->strand_->times(); }

std::shared_ptr<grpc::Channel> CoordinatorServer::InProcessChannel() {
  grpc::ChannelArguments args;
  args.SetMaxReceiveMessageSize(static_cast<int>(kControlBytesMax) + (1 << 20));
  return impl_->server_->InProcessChannel(args);
}

void CoordinatorServer::Drain(const ShutdownPlan& plan, bool (*hurry)()) {
  impl_->Drain(plan, hurry);
}

void CoordinatorServer::Shutdown(const ShutdownPlan& plan, bool (*hurry)()) {
  impl_->Shutdown(plan, hurry);
}

}  // namespace conclave
