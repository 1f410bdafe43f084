// How connections are secured. The only place that makes gRPC credentials: TLS arrives here.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "grpcpp/channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/security/server_credentials.h"

namespace conclave {

std::shared_ptr<grpc::ServerCredentials> ServerCredentialsFor();
std::shared_ptr<grpc::ChannelCredentials> ChannelCredentialsFor();

// A connection to a coordinator. It is kept alive and made again soon after it breaks. The size of
// answers is not limited: the request decides it.
std::shared_ptr<grpc::Channel> ChannelTo(const std::string& address);

// Whether `address` (host:port, unix:path) cannot be reached from another machine.
bool IsLoopback(std::string_view address);

// Without TLS only loopback may be listened on, unless the operator said --insecure. `flag` is the
// flag the address came from; the error says what to do.
absl::Status CheckExposure(const std::string& flag, const std::string& address, bool insecure);

}  // namespace conclave
