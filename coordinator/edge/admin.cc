#include "coordinator/edge/admin.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/edge/errors.h"
#include "coordinator/edge/translate.h"

namespace conclave {

grpc::ServerUnaryReactor* AdminService::GetCluster(grpc::CallbackServerContext* context,
                                                   const v1::GetClusterRequest* request,
                                                   v1::GetClusterResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const bool asked = serving_.strand->Ask([=](const CoordinatorCore& core, Micros now) {
    *response = ToProto(core.Status(now), request->with_experts());
    reactor->Finish(grpc::Status::OK);
  });
  if (!asked) reactor->Finish(Unavailable("this server is shutting down"));
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
