#include "base/edge/credentials.h"

#include "absl/strings/str_cat.h"
#include "grpcpp/create_channel.h"

namespace conclave {

std::shared_ptr<grpc::ServerCredentials> ServerCredentialsFor() {
  return grpc::InsecureServerCredentials();
}

std::shared_ptr<grpc::ChannelCredentials> ChannelCredentialsFor() {
  return grpc::InsecureChannelCredentials();
}

std::shared_ptr<grpc::Channel> ChannelTo(const std::string& address) {
  grpc::ChannelArguments args;
  args.SetMaxReceiveMessageSize(-1);  // what was asked for is what comes
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 20'000);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1'000);
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2'000);
  return grpc::CreateCustomChannel(address, ChannelCredentialsFor(), args);
}

bool IsLoopback(std::string_view address) {
  if (address.starts_with("unix:")) return true;
  const std::size_t colon = address.rfind(':');
  const std::string_view host = address.substr(0, colon);
  return host == "localhost" || host == "[::1]" || host.starts_with("127.");
}

absl::Status CheckExposure(const std::string& flag, const std::string& address, bool insecure) {
  if (insecure || IsLoopback(address)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(flag, " ", address,
                   " can be reached from other machines and there is no TLS: listen on "
                   "127.0.0.1, or say --insecure if the network is trusted"));
}

}  // namespace conclave
