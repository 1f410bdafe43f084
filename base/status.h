// Short forms for absl::Status. Kinds of failure: kInvalidArgument and kFailedPrecondition are the
// caller's, kUnavailable, kDeadlineExceeded, kAborted and kDataLoss the world's.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define RETURN_IF_ERROR(expression)                           \
  do {                                                        \
    if (absl::Status status_ = (expression); !status_.ok()) { \
      return status_;                                         \
    }                                                         \
  } while (false)

#define CONCLAVE_JOIN_INNER(a, b) a##b
#define CONCLAVE_JOIN(a, b) CONCLAVE_JOIN_INNER(a, b)

// ASSIGN_OR_RETURN(auto value, Compute());
#define ASSIGN_OR_RETURN(declaration, expression) \
  ASSIGN_OR_RETURN_INNER(CONCLAVE_JOIN(status_or_, __LINE__), declaration, expression)
#define ASSIGN_OR_RETURN_INNER(temporary, declaration, expression) \
  auto temporary = (expression);                                   \
  if (!temporary.ok()) return std::move(temporary).status();       \
  declaration = std::move(temporary).value()
