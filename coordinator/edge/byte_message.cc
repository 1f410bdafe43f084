#include "coordinator/edge/byte_message.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/message.h>

#include <string>
#include <vector>

#include "base/limits.h"
#include "grpcpp/support/proto_buffer_reader.h"

namespace conclave {

std::optional<FieldError> Parse(const grpc::ByteBuffer& bytes, google::protobuf::Message& message) {
  std::vector<grpc::Slice> slices;
  if (!bytes.Dump(&slices).ok()) return FieldError{"", "the message could not be read"};
  if (slices.size() == 1) {
    return Parse(
        std::string_view(reinterpret_cast<const char*>(slices[0].begin()), slices[0].size()),
        message);
  }
  std::string flat;
  flat.reserve(bytes.Length());
  for (const grpc::Slice& slice : slices) {
    flat.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return Parse(flat, message);
}

std::string PeekRequestId(const grpc::ByteBuffer& bytes) {
  using google::protobuf::io::CodedInputStream;
  enum WireType : std::uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };
  grpc::ByteBuffer copy = bytes;  // of the references only
  grpc::ProtoBufferReader slices(&copy);
  CodedInputStream input(&slices);
  std::string id;
  while (const std::uint32_t tag = input.ReadTag()) {
    std::uint64_t number = 0;
    std::uint32_t size = 0;
    bool read = false;
    switch (tag & 7) {
      case kVarint:
        read = input.ReadVarint64(&number);
        break;
      case kFixed64:
        read = input.Skip(8);
        break;
      case kFixed32:
        read = input.Skip(4);
        break;
      case kBytes:
        read = input.ReadVarint32(&size) && size <= bytes.Length();
        if (!read) break;
        if (tag >> 3 != v1::GenerateRequest::kRequestIdFieldNumber) {
          read = input.Skip(static_cast<int>(size));
        } else if (size > kRequestIdBytesMax) {
          return {};
        } else {
          read = input.ReadString(&id, static_cast<int>(size));  // the last one counts
        }
        break;
      default:
        break;
    }
    if (!read) return {};
  }
  return id;
}

grpc::ByteBuffer ToBytes(const google::protobuf::Message& message) {
  const std::size_t size = message.ByteSizeLong();
  grpc::Slice slice(size);
  message.SerializeWithCachedSizesToArray(const_cast<std::uint8_t*>(slice.begin()));
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace conclave
