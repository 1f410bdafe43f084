// The admin plane: conclave.v1.AdminService and gRPC health on one port, plain HTTP for probes and
// metrics on another. No secrets here and no TLS: Kubernetes' probes have none.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "base/edge/http_server.h"
#include "conclave/v1/admin.grpc.pb.h"
#include "coordinator/edge/metrics.h"
#include "coordinator/edge/serving.h"
#include "grpcpp/alarm.h"
#include "grpcpp/health_check_service_interface.h"

namespace conclave {

class AdminService final : public v1::AdminService::CallbackService {
 public:
  explicit AdminService(Serving& serving) : serving_(serving) {}
  grpc::ServerUnaryReactor* GetCluster(grpc::CallbackServerContext* context,
                                       const v1::GetClusterRequest* request,
                                       v1::GetClusterResponse* response) override;
  grpc::ServerUnaryReactor* DrainWorker(grpc::CallbackServerContext* context,
                                        const v1::DrainWorkerRequest* request,
                                        v1::DrainWorkerResponse* response) override;
  grpc::ServerUnaryReactor* Rebalance(grpc::CallbackServerContext* context,
                                      const v1::RebalanceRequest* request,
                                      v1::RebalanceResponse* response) override;
  using FlightRequest = v1::GetFlightRecorderRequest;
  using FlightResponse = v1::GetFlightRecorderResponse;
  grpc::ServerUnaryReactor* GetFlightRecorder(grpc::CallbackServerContext* context,
                                              const FlightRequest* request,
                                              FlightResponse* response) override;

 private:
  template <class Event, class Response>
  void AskCore(Event event, Response* response, grpc::ServerUnaryReactor* reactor);
  // After this time the desk answers what is late, even if the strand stands still. It does nothing
  // once it is destroyed.
  std::shared_ptr<grpc::Alarm> ExpireAfter(Micros timeout);
  Serving& serving_;
};

// Says one thing in every place that is asked about it. Services: "liveness" is up while the
// process is; "", "readiness" and "conclave.v1.InferenceService" while it can serve.
class Health {
 public:
  void Attach(grpc::HealthCheckServiceInterface* service);
  void SetCoreReady(bool ready);
  void SetDraining();  // from now on not ready, whatever the core says
  bool ready() const;
  bool ever_ready() const;

 private:
  void Publish();
  mutable std::mutex mutex_;
  grpc::HealthCheckServiceInterface* service_ = nullptr;
  bool core_ready_ = false;
  bool draining_ = false;
  bool ever_ready_ = false;
};

// /livez /readyz /startupz /metrics.
absl::StatusOr<std::unique_ptr<HttpServer>> StartProbes(const std::string& address,
                                                        Serving& serving, const Health& health,
                                                        const Metrics& metrics);

}  // namespace conclave
