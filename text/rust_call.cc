#include "text/rust_call.h"

namespace conclave {

RustSpan SpanOf(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

std::string_view ViewOf(RustSpan span) {
  return {reinterpret_cast<const char*>(span.data), span.size};
}

std::string TakeBytes(RustBytes bytes) {
  std::string text(reinterpret_cast<const char*>(bytes.data), bytes.size);
  conclave_text_free_bytes(bytes);
  return text;
}

absl::Status TakeStatus(int code, RustBytes error) {
  if (code == 0) return absl::OkStatus();
  return absl::Status(static_cast<absl::StatusCode>(code), TakeBytes(error));
}

}  // namespace conclave
