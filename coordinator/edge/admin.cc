#include "coordinator/edge/admin.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/edge/clock.h"
#include "coordinator/edge/errors.h"
#include "coordinator/edge/translate.h"

namespace conclave {
namespace {

// How much later than the deadline the desk is told that time has passed: it counts whole
// microseconds of another clock.
constexpr Micros kAlarmSlack = 5'000;

}  // namespace

grpc::ServerUnaryReactor* AdminService::GetCluster(grpc::CallbackServerContext* context,
                                                   const v1::GetClusterRequest* request,
                                                   v1::GetClusterResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const bool with_experts = request->with_experts();
  const Micros now = SteadyMicros();
  const ClusterStatus status =
      StatusFrom(*serving_.strand->snapshot(), now,
                 with_experts ? ExpertLists::kInclude : ExpertLists::kOmit);
  *response = ToProto(status, now, with_experts);
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

std::shared_ptr<grpc::Alarm> AdminService::ExpireAfter(Micros timeout) {
  auto alarm = std::make_shared<grpc::Alarm>();
  const auto deadline = std::chrono::system_clock::now() + std::chrono::microseconds(timeout);
  alarm->Set(deadline, [desk = serving_.desk](bool due) {
    if (due) desk->Expire(SteadyMicros());
  });
  return alarm;
}

// The strand answers with what TellAdmin says.
template <class Event, class Response>
void AdminService::AskCore(Event event, Response* response, grpc::ServerUnaryReactor* reactor) {
  // The alarm is kept by what waits for the answer, and cancelled with it.
  const auto then = [=, alarm = ExpireAfter(AdminDesk::kAnswerTimeout + kAlarmSlack)](
                        const absl::Status& status, const std::string& text) {
    response->set_text(text);
    reactor->Finish(StatusOf(status));
  };
  const absl::StatusOr<std::uint64_t> expected = serving_.desk->Expect(SteadyMicros(), then);
  if (!expected.ok()) return reactor->Finish(StatusOf(expected.status()));
  const std::uint64_t ticket = event.ticket = *expected;
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
  const auto then = [=, alarm = ExpireAfter(AdminDesk::kRecorderLimit + kAlarmSlack)](
                        const std::vector<LastWords>& words) {
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
    const auto snapshot = serving.strand->snapshot();
    return HttpAnswer{503, absl::StrCat("not ready: ", snapshot->members->not_ready_because, "\n")};
  };
  paths["/metrics"] = [&serving, &metrics] {
    const Micros now = SteadyMicros();
    const auto snapshot = serving.strand->snapshot();
    return HttpAnswer{200, metrics.Render(StatusFrom(*snapshot, now, ExpertLists::kOmit),
                                          now - snapshot->taken, serving.strand->times())};
  };
  return HttpServer::Start(address, std::move(paths));
}

}  // namespace conclave
