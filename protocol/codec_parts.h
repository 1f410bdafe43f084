// Between codec.cc and its two halves; nobody else includes this.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "conclave/cluster/v1/control.pb.h"
#include "protocol/control.h"

namespace conclave::codec {

namespace pb = ::conclave::cluster::v1;

void ToProto(const FromWorker& message, pb::FromWorker& out);
void ToProto(const ToWorker& message, pb::ToWorker& out);
absl::StatusOr<FromWorker> FromProto(const pb::FromWorker& in);
absl::StatusOr<ToWorker> FromProto(const pb::ToWorker& in);

// Bounds: InvalidArgument names the field.
absl::Status InRange(const char* field, std::int64_t value, std::int64_t low, std::int64_t high);
absl::Status AtMost(const char* field, std::size_t count, std::size_t limit);

// Every message about an epoch spells it as two fields of these names.
template <typename Message>
void SetEpoch(Epoch epoch, Message& out) {
  out.set_term(epoch.term);
  out.set_epoch(epoch.number);
}
template <typename Message>
Epoch EpochOf(const Message& in) {
  return {in.term(), in.epoch()};
}

template <typename IdType, typename Field>
std::vector<IdType> Ids(const Field& values) {
  std::vector<IdType> ids;
  ids.reserve(static_cast<std::size_t>(values.size()));
  for (const auto value : values) ids.push_back(IdType{value});
  return ids;
}

}  // namespace conclave::codec
