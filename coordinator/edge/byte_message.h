// Messages and gRPC's own bytes. Requests arrive raw, so that what is wrong with them can be said.
#pragma once

#include <optional>
#include <string>

#include "coordinator/edge/translate.h"
#include "grpcpp/support/byte_buffer.h"

namespace conclave {

std::optional<FieldError> Parse(const grpc::ByteBuffer& bytes, google::protobuf::Message& message);
// The request_id of a GenerateRequest without reading the rest; empty when there is none, or none
// that would be accepted. Cheap enough for a reactor.
std::string PeekRequestId(const grpc::ByteBuffer& bytes);
grpc::ByteBuffer ToBytes(const google::protobuf::Message& message);

}  // namespace conclave
