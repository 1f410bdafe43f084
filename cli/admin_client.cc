#include "cli/admin_client.h"

#include <chrono>

#include "base/status.h"
#include "cli/client.h"
#include "cli/generate_output.h"
#include "conclave/v1/admin.grpc.pb.h"
#include "grpcpp/client_context.h"

namespace conclave {
namespace {

constexpr Micros kConnectLimit = 5'000'000;
constexpr auto kCallLimit = std::chrono::seconds(10);

template <class Request, class Response>
using Method = grpc::Status (v1::AdminService::Stub::*)(grpc::ClientContext*, const Request&,
                                                        Response*);

template <class Request, class Response>
absl::StatusOr<Response> Call(const std::shared_ptr<grpc::Channel>& channel,
                              Method<Request, Response> method, const Request& request) {
  v1::AdminService::Stub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kCallLimit);
  Response response;
  const grpc::Status status = (stub.*method)(&context, request, &response);
  if (status.ok()) return response;
  if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) {
    return absl::FailedPreconditionError(
        "this address has no admin service: --admin takes the admin port (8471), not the clients'");
  }
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), ErrorLine(status));
}

}  // namespace

void AddAdminFlag(CLI::App& app, std::string& admin) {
  admin = "127.0.0.1:8471";
  app.add_option("--admin", admin, "the coordinator's admin port")
      ->type_name("HOST:PORT")
      ->capture_default_str();
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> ConnectAdmin(const std::string& admin) {
  return OpenChannel(admin, "--admin", kConnectLimit);
}

absl::StatusOr<v1::GetClusterResponse> GetCluster(const std::shared_ptr<grpc::Channel>& channel,
                                                  bool with_experts) {
  v1::GetClusterRequest request;
  request.set_with_experts(with_experts);
  return Call<v1::GetClusterRequest, v1::GetClusterResponse>(
      channel, &v1::AdminService::Stub::GetCluster, request);
}

absl::StatusOr<std::string> DrainWorker(const std::shared_ptr<grpc::Channel>& channel,
                                        const std::string& worker) {
  v1::DrainWorkerRequest request;
  request.set_worker(worker);
  ASSIGN_OR_RETURN(const auto response,
                   (Call<v1::DrainWorkerRequest, v1::DrainWorkerResponse>(
                       channel, &v1::AdminService::Stub::DrainWorker, request)));
  return response.text();
}

absl::StatusOr<std::string> Rebalance(const std::shared_ptr<grpc::Channel>& channel) {
  ASSIGN_OR_RETURN(const auto response,
                   (Call<v1::RebalanceRequest, v1::RebalanceResponse>(
                       channel, &v1::AdminService::Stub::Rebalance, v1::RebalanceRequest())));
  return response.text();
}

absl::StatusOr<v1::GetFlightRecorderResponse> GetFlightRecorder(
    const std::shared_ptr<grpc::Channel>& channel, const std::string& worker) {
  v1::GetFlightRecorderRequest request;
  request.set_worker(worker);
  return Call<v1::GetFlightRecorderRequest, v1::GetFlightRecorderResponse>(
      channel, &v1::AdminService::Stub::GetFlightRecorder, request);
}

}  // namespace conclave
