#include "protocol/codec.h"

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "protocol/codec_parts.h"

namespace conclave {
namespace codec {

absl::Status InRange(const char* field, std::int64_t value, std::int64_t low, std::int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, " is ", value, ", not in ", low, "..", high));
}

absl::Status AtMost(const char* field, std::size_t count, std::size_t limit) {
  if (count <= limit) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, " has ", count, " entries, more than ", limit));
}

}  // namespace codec

namespace {

template <typename Proto, typename Message>
std::string EncodeAs(const Message& message) {
  Proto proto;
  codec::ToProto(message, proto);
  return proto.SerializeAsString();
}

template <typename Message, typename Proto>
absl::StatusOr<Message> DecodeAs(std::string_view bytes) {
  if (bytes.size() > kControlBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("control message of ", bytes.size(), " bytes"));
  }
  Proto proto;
  if (!proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError("control message is not a protobuf of its kind");
  }
  return codec::FromProto(proto);
}

}  // namespace

std::string Encode(const FromWorker& message) { return EncodeAs<codec::pb::FromWorker>(message); }
std::string Encode(const ToWorker& message) { return EncodeAs<codec::pb::ToWorker>(message); }

absl::StatusOr<FromWorker> DecodeFromWorker(std::string_view bytes) {
  return DecodeAs<FromWorker, codec::pb::FromWorker>(bytes);
}
absl::StatusOr<ToWorker> DecodeToWorker(std::string_view bytes) {
  return DecodeAs<ToWorker, codec::pb::ToWorker>(bytes);
}

}  // namespace conclave
