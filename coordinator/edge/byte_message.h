// Messages and gRPC's own bytes. Requests arrive raw, so that what is wrong with them can be said.
#pragma once

#include <optional>

#include "coordinator/edge/translate.h"
#include "grpcpp/support/byte_buffer.h"

namespace conclave {

std::optional<FieldError> Parse(const grpc::ByteBuffer& bytes, google::protobuf::Message& message);
grpc::ByteBuffer ToBytes(const google::protobuf::Message& message);

}  // namespace conclave
