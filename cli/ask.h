// Asks until the answer is whole: a request that survives broken streams.
#pragma once

#include <string>

#include "CLI/App.hpp"
#include "absl/functional/function_ref.h"
#include "cli/client.h"
#include "cli/resuming_stream.h"

namespace conclave {

struct AskResult {
  grpc::Status status;
  int cuts = 0;  // streams that broke and were taken up again
};

// Blocks until the answer is whole, cannot be had, or an interrupt is seen. `on_part` is called
// from this thread, with parts that follow one another as if nothing had broken. A request without
// an id gets one if it may be asked again.
AskResult Ask(Client& client, v1::GenerateRequest request, Micros retry_for,
              absl::FunctionRef<void(const v1::GenerateResponse&)> on_part);

void AddRetryFlag(CLI::App& app, Micros& retry_for);

}  // namespace conclave
