// The client side of conclave.v1, for every command that talks to a cluster. Thread-safe.
#pragma once

#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "conclave/v1/inference.grpc.pb.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"

namespace conclave {

class Client {
 public:
  explicit Client(std::shared_ptr<grpc::Channel> channel);

  // Blocks until the stream has ended; `on_part` is called from this thread.
  grpc::Status Generate(const v1::GenerateRequest& request,
                        absl::FunctionRef<void(const v1::GenerateResponse&)> on_part);
  // Until there is a connection, but no longer. Only a thread that waits makes one: a call that
  // finds none fails at once.
  void AwaitConnection(Micros timeout);
  // Every call that runs ends with CANCELLED.
  void CancelRunning();
  absl::StatusOr<v1::GetModelInfoResponse> ModelInfo();

 private:
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::InferenceService::Stub> stub_;
  std::mutex mutex_;
  std::set<grpc::ClientContext*> running_;
};

// A connection to HOST:PORT, made within `timeout`. Unavailable names `flag` and says what to do.
absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const std::string& target,
                                                           const std::string& flag, Micros timeout);

}  // namespace conclave
