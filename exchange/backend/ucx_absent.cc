// In place of ucx.cc when UCX was not found.
#include "absl/status/status.h"
#include "exchange/backends.h"

namespace conclave {

absl::StatusOr<std::unique_ptr<ExchangeBackend>> NewUcxBackend(const UcxOptions&) {
  return absl::FailedPreconditionError("exchange back-end ucx: this program was built without UCX");
}

std::vector<std::string> ExchangeBackendsHere() { return {"local"}; }

}  // namespace conclave
