// Rendering of chat templates; the engine is text/rust/src/template.rs.
#include "text/template.h"

#include <ctime>

#include "base/status.h"
#include "text/rust_call.h"

namespace conclave {
namespace {

std::size_t FormatLocalTime(const std::uint8_t* format, std::size_t size, std::uint8_t* out,
                            std::size_t capacity) {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  if (localtime_r(&now, &local) == nullptr) return 0;
  const std::string terminated(reinterpret_cast<const char*>(format), size);
  return std::strftime(reinterpret_cast<char*>(out), capacity, terminated.c_str(), &local);
}

}  // namespace

absl::Status CheckTemplate(std::string_view template_source) {
  RustBytes error{};
  return TakeStatus(conclave_text_check_template(SpanOf(template_source), &error), error);
}

absl::StatusOr<std::string> RenderTemplate(std::string_view template_source, const ChatInput& input,
                                           std::string_view special_tokens_json) {
  const RustRenderInput raw = {
      .messages = SpanOf(input.messages_json),
      .tools = SpanOf(input.tools_json),
      .variables = SpanOf(input.variables_json),
      .special_tokens = SpanOf(special_tokens_json),
      .add_generation_prompt = input.add_generation_prompt,
      .time = FormatLocalTime,
  };
  RustBytes text{};
  RustBytes error{};
  const int code = conclave_text_render(SpanOf(template_source), &raw, &text, &error);
  RETURN_IF_ERROR(TakeStatus(code, error));
  return TakeBytes(text);
}

}  // namespace conclave
