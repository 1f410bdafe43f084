#include "coordinator/edge/errors.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace conclave {
namespace {

enum class Retry : std::uint8_t { kNo, kSoon };

struct Failure {
  grpc::StatusCode code;
  std::string_view reason;  // of ErrorInfo: UPPER_SNAKE
  std::string_view message;
  std::string_view field = {};
  Retry retry = Retry::kNo;
};

grpc::Status Make(const Failure& failure) {
  google::rpc::Status rich;
  rich.set_code(failure.code);
  const std::string message = failure.field.empty() ? std::string(failure.message)
                                                    : absl::StrCat(std::string(failure.field), ": ",
                                                                   std::string(failure.message));
  rich.set_message(message);
  google::rpc::ErrorInfo info;
  info.set_reason(std::string(failure.reason));
  info.set_domain(kErrorDomain);
  rich.add_details()->PackFrom(info);
  if (!failure.field.empty()) {
    google::rpc::BadRequest bad;
    google::rpc::BadRequest::FieldViolation& violation = *bad.add_field_violations();
    violation.set_field(std::string(failure.field));
    violation.set_description(std::string(failure.message));
    rich.add_details()->PackFrom(bad);
  }
  if (failure.retry == Retry::kSoon) {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(1);
    rich.add_details()->PackFrom(retry);
  }
  return grpc::Status(failure.code, message, rich.SerializeAsString());
}

}  // namespace

grpc::Status StatusOf(const Ending& ending) {
  switch (ending.end) {
    case End::kStop:
    case End::kLength:
    case End::kCancelled:
      return grpc::Status::OK;
    case End::kDeadline:
      return Make({grpc::StatusCode::DEADLINE_EXCEEDED, "DEADLINE", ending.message});
    case End::kRefused:
      return Make({grpc::StatusCode::INVALID_ARGUMENT, "BAD_FIELD", ending.message, ending.field});
    case End::kOverloaded:
      return Overloaded(ending.message);
    case End::kUnavailable:
      return Unavailable(ending.message);
    case End::kReplaced:
      return Make({grpc::StatusCode::ABORTED, "REPLACED", ending.message});
    case End::kOutgrown:
      return TooLarge(ending.message);
    case End::kInternal:
      break;
  }
  return Make({grpc::StatusCode::INTERNAL, "INTERNAL", ending.message});
}

grpc::Status StatusOf(const FieldError& error) {
  // absl's codes are gRPC's by definition.
  const auto code = static_cast<grpc::StatusCode>(error.code);
  const bool callers = error.code == absl::StatusCode::kInvalidArgument;
  return Make({code, callers ? "BAD_FIELD" : "CANNOT_SERVE_FIELD", error.message, error.field});
}

grpc::Status StatusOf(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const std::string message(status.message());
  if (absl::IsUnavailable(status)) return Unavailable(message);
  const auto code = static_cast<grpc::StatusCode>(status.code());
  return Make({code, absl::StatusCodeToString(status.code()), message});
}

grpc::Status Overloaded(std::string_view message) {
  return Make({grpc::StatusCode::RESOURCE_EXHAUSTED, "OVERLOADED", message, {}, Retry::kSoon});
}

grpc::Status Unavailable(std::string_view message) {
  return Make({grpc::StatusCode::UNAVAILABLE, "UNAVAILABLE", message, {}, Retry::kSoon});
}

grpc::Status TooLarge(std::string_view message) {
  return Make({grpc::StatusCode::RESOURCE_EXHAUSTED, "TOO_LARGE", message});
}

}  // namespace conclave
