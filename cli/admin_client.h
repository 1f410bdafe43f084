// What operators' commands ask of the admin port.
#pragma once

#include <memory>
#include <string>

#include "CLI/App.hpp"
#include "absl/status/statusor.h"
#include "conclave/v1/admin.pb.h"
#include "grpcpp/channel.h"

namespace conclave {

// --admin HOST:PORT, with its default.
void AddAdminFlag(CLI::App& app, std::string& admin);

// A connection to it. Unavailable says what to do.
absl::StatusOr<std::shared_ptr<grpc::Channel>> ConnectAdmin(const std::string& admin);

// One look at the cluster.
absl::StatusOr<v1::GetClusterResponse> GetCluster(const std::shared_ptr<grpc::Channel>& channel,
                                                  bool with_experts);
// Both give the coordinator's words about what happens now. `worker`: slot number or uuid.
absl::StatusOr<std::string> DrainWorker(const std::shared_ptr<grpc::Channel>& channel,
                                        const std::string& worker);
absl::StatusOr<std::string> Rebalance(const std::shared_ptr<grpc::Channel>& channel);
// `worker`: slot number or uuid, "coordinator", or empty for all processes.
absl::StatusOr<v1::GetFlightRecorderResponse> GetFlightRecorder(
    const std::shared_ptr<grpc::Channel>& channel, const std::string& worker);

}  // namespace conclave
