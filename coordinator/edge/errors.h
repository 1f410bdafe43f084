// Every way a call can fail, as gRPC status plus details that programs can read: ErrorInfo (domain
// "conclave"), BadRequest for a field, RetryInfo where trying again makes sense.
#pragma once

#include <iterator>
#include <string_view>

#include "coordinator/events.h"
#include "coordinator/edge/translate.h"
#include "grpcpp/support/status.h"

namespace conclave {

inline constexpr const char* kErrorDomain = "conclave";

// What endings are called in metrics and records, by End.
inline constexpr const char* kEndNames[] = {"stop",        "length",   "cancelled",
                                            "deadline",    "refused",  "overloaded",
                                            "unavailable", "replaced", "outgrown",
                                            "internal"};
static_assert(std::size(kEndNames) == static_cast<std::size_t>(End::kInternal) + 1);

// OK for endings that are messages (stop, length, cancelled on request).
grpc::Status StatusOf(const Ending& ending);
grpc::Status StatusOf(const FieldError& error);
grpc::Status StatusOf(const absl::Status& status);   // what an operator asked for; OK if it is
grpc::Status Overloaded(std::string_view message);   // RESOURCE_EXHAUSTED, try again
grpc::Status Unavailable(std::string_view message);  // UNAVAILABLE, try again
grpc::Status TooLarge(std::string_view message);     // RESOURCE_EXHAUSTED, never try again

// What clients should use as their service config: a call that found nobody to serve it is tried
// again, before its first message only.
inline constexpr const char* kClientServiceConfig = R"({"methodConfig": [{
  "name": [{"service": "conclave.v1.InferenceService"}],
  "retryPolicy": {"maxAttempts": 4, "initialBackoff": "0.1s", "maxBackoff": "2s",
                  "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}}]})";

}  // namespace conclave
