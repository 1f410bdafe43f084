#include "cli/client.h"

#include <chrono>

#include "absl/strings/str_cat.h"
#include "base/edge/credentials.h"
#include "base/limits.h"
#include "cli/generate_output.h"
#include "coordinator/edge/errors.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/support/channel_arguments.h"

namespace conclave {
namespace {

constexpr auto kUnaryLimit = std::chrono::seconds(10);

absl::Status ToAbsl(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), ErrorLine(status));
}

}  // namespace

Client::Client(std::shared_ptr<grpc::Channel> channel)
    : channel_(std::move(channel)), stub_(v1::InferenceService::NewStub(channel_)) {}

void Client::AwaitConnection(Micros timeout) {
  channel_->WaitForConnected(std::chrono::system_clock::now() + std::chrono::microseconds(timeout));
}

grpc::Status Client::Generate(const v1::GenerateRequest& request,
                              absl::FunctionRef<void(const v1::GenerateResponse&)> on_part) {
  grpc::ClientContext context;
  {
    std::lock_guard lock(mutex_);
    running_.insert(&context);
  }
  const auto reader = stub_->Generate(&context, request);
  v1::GenerateResponse part;
  while (reader->Read(&part)) on_part(part);
  const grpc::Status status = reader->Finish();
  std::lock_guard lock(mutex_);
  running_.erase(&context);
  return status;
}

void Client::CancelRunning() {
  std::lock_guard lock(mutex_);
  for (grpc::ClientContext* context : running_) context->TryCancel();
}

absl::StatusOr<v1::GetModelInfoResponse> Client::ModelInfo() {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kUnaryLimit);
  v1::GetModelInfoResponse response;
  const grpc::Status status = stub_->GetModelInfo(&context, {}, &response);
  if (!status.ok()) return ToAbsl(status);
  return response;
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel(const std::string& target,
                                                           const std::string& flag,
                                                           Micros timeout) {
  grpc::ChannelArguments arguments;
  arguments.SetServiceConfigJSON(kClientServiceConfig);
  arguments.SetMaxReceiveMessageSize(-1);  // an answer with all routed experts is large
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // A server that is started again is found soon, and one that hangs is noticed.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1'000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  auto channel = grpc::CreateCustomChannel(target, ChannelCredentialsFor(), arguments);
  const auto deadline = std::chrono::system_clock::now() + std::chrono::microseconds(timeout);
  // The first refusal is the answer: a person waits.
  grpc_connectivity_state state = channel->GetState(/*try_to_connect=*/true);
  while (state != GRPC_CHANNEL_READY && state != GRPC_CHANNEL_TRANSIENT_FAILURE &&
         channel->WaitForStateChange(state, deadline)) {
    state = channel->GetState(/*try_to_connect=*/true);
  }
  if (state != GRPC_CHANNEL_READY) {
    return absl::UnavailableError(
        absl::StrCat("cannot reach ", target, " (", flag,
                     "): start `conclave serve --model DIR` there, or name another address"));
  }
  return channel;
}

}  // namespace conclave
