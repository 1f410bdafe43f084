#include "coordinator/edge/admin.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/edge/clock.h"
#include "coordinator/edge/errors.h"
#include "coordinator/edge/translate.h"

namespace conclave {

grpc::ServerUnaryReactor* AdminService::GetCluster(grpc::CallbackServerContext* context,
                                                   const v1::GetClusterRequest* request,
                                                   v1::GetClusterResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const bool asked = serving_.strand->Ask([=](const CoordinatorCore& core, Micros now) {
    *response = ToProto(core.Status(now), now, request->with_experts());
    reactor->Finish(grpc::Status::OK);
  });
  if (!asked) reactor->Finish(Unavailable("this server is shutting down"));
  return reactor;
}

// The strand answers with what TellAdmin says.
template <class Event, class Response>
void AdminService::AskCore(Event event, Response* response, grpc::ServerUnaryReactor* reactor) {
  event.ticket = serving_.desk->Expect([=](const absl::Status& status, const std::string& text) {
    response->set_text(text);
    reactor->Finish(StatusOf(status));
  });
  const std::uint64_t ticket = event.ticket;
  if (serving_.strand->Post(std::move(event))) return;
  serving_.desk->Tell({ticket, absl::UnavailableError("this server is shutting down"), ""});
}

grpc::ServerUnaryReactor* AdminService::DrainWorker(grpc::CallbackServerContext* context,
                                                    const v1::DrainWorkerRequest* request,
                                                    v1::DrainWorkerResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  if (request->worker().empty()) {
    reactor->Finish(StatusOf(FieldError{.field = "worker", .message = "a slot number or uuid"}));
    return reactor;
  }
  AskCore(DrainAsked{.now = 0, .ticket = 0, .worker = request->worker()}, response, reactor);
  return reactor;
}

grpc::ServerUnaryReactor* AdminService::Rebalance(grpc::CallbackServerContext* context,
                                                  const v1::RebalanceRequest*,
                                                  v1::RebalanceResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  AskCore(RebalanceAsked{.now = 0, .ticket = 0}, response, reactor);
  return reactor;
}

grpc::ServerUnaryReactor* AdminService::GetFlightRecorder(grpc::CallbackServerContext* context,
                                                          const FlightRequest* request,
                                                          FlightResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const auto then = [=](const std::vector<LastWords>& words) {
    for (const LastWords& one : words) {
      v1::ProcessRecord& record = *response->add_processes();
      record.set_process(one.process);
      record.set_text(one.text);
      record.set_error(one.error);
    }
    reactor->Finish(grpc::Status::OK);
  };
  const absl::Status begun = serving_.desk->Gather(request->worker(), SteadyMicros(), then);
  if (!begun.ok()) reactor->Finish(StatusOf(begun));
  return reactor;
}

void Health::Attach(grpc::HealthCheckServiceInterface* service) {
  std::lock_guard lock(mutex_);
  service_ = service;
  Publish();
}

void Health::SetCoreReady(bool ready) {
  std::lock_guard lock(mutex_);
  core_ready_ = ready;
  ever_ready_ = ever_ready_ || ready;
  Publish();
}

void Health::SetDraining() {
  std::lock_guard lock(mutex_);
  draining_ = true;
  Publish();
}

bool Health::ready() const {
  std::lock_guard lock(mutex_);
  return core_ready_ && !draining_;
}

bool Health::ever_ready() const {
  std::lock_guard lock(mutex_);
  return ever_ready_;
}

void Health::Publish() {
  if (service_ == nullptr) return;
  const bool ready = core_ready_ && !draining_;
  service_->SetServingStatus("", ready);
  service_->SetServingStatus("liveness", true);
  service_->SetServingStatus("readiness", ready);
  service_->SetServingStatus("conclave.v1.InferenceService", ready);
}

absl::StatusOr<std::unique_ptr<HttpServer>> StartProbes(const std::string& address,
                                                        Serving& serving, const Health& health,
                                                        const Metrics& metrics) {
  HttpServer::Paths paths;
  paths["/livez"] = [] { return HttpAnswer{200, "alive\n"}; };
  paths["/startupz"] = [&health] {
    return health.ever_ready() ? HttpAnswer{200, "started\n"} : HttpAnswer{503, "starting\n"};
  };
  paths["/readyz"] = [&serving, &health] {
    if (health.ready()) return HttpAnswer{200, "ready\n"};
    if (serving.draining) return HttpAnswer{503, "shutting down\n"};
    const ClusterStatus status = serving.strand->AskStatus();
    return HttpAnswer{503, absl::StrCat("not ready: ", status.not_ready_because, "\n")};
  };
  paths["/metrics"] = [&serving, &metrics] {
    return HttpAnswer{200, metrics.Render(serving.strand->AskStatus())};
  };
  return HttpServer::Start(address, std::move(paths));
}

}  // namespace conclave
