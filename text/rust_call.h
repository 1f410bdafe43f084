// From the C ABI's buffers and codes to strings and statuses.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "text/rust_api.h"

namespace conclave {

RustSpan SpanOf(std::string_view text);
std::string_view ViewOf(RustSpan span);
std::string TakeBytes(RustBytes bytes);              // frees them
absl::Status TakeStatus(int code, RustBytes error);  // frees `error` unless the code is 0

}  // namespace conclave
