#include "coordinator/edge/translate.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/hash.h"

namespace conclave {
namespace {

using Failure = std::optional<FieldError>;

template <typename Proto, typename Rep>
void Take(bool has, Proto value, std::optional<Rep>& into) {
  if (has) into = static_cast<Rep>(value);
}

void TakeSampling(const v1::SamplingOptions& from, ClientAsk& ask) {
  Take(from.has_temperature(), from.temperature(), ask.temperature);
  Take(from.has_top_k(), from.top_k(), ask.top_k);
  Take(from.has_top_p(), from.top_p(), ask.top_p);
  Take(from.has_min_p(), from.min_p(), ask.min_p);
  Take(from.has_repetition_penalty(), from.repetition_penalty(), ask.repetition_penalty);
  Take(from.has_presence_penalty(), from.presence_penalty(), ask.presence_penalty);
  Take(from.has_frequency_penalty(), from.frequency_penalty(), ask.frequency_penalty);
  Take(from.has_seed(), from.seed(), ask.seed);
  for (const v1::LogitBias& bias : from.logit_bias()) {
    ask.logit_bias.emplace_back(bias.token_id(), bias.bias());
  }
}

void TakeStop(const v1::StopOptions& from, ClientAsk& ask) {
  Take(from.has_max_tokens(), from.max_tokens(), ask.max_tokens);
  Take(from.has_min_tokens(), from.min_tokens(), ask.min_tokens);
  ask.stop.assign(from.strings().begin(), from.strings().end());
  ask.stop_ids.assign(from.token_ids().begin(), from.token_ids().end());
  ask.ignore_eos = from.ignore_eos();
  ask.include_stop_in_text = from.include_stop_string();
}

void TakeOutput(const v1::OutputOptions& from, ClientAsk& ask) {
  Take(from.has_logprobs(), from.logprobs(), ask.logprobs);
  Take(from.has_prompt_logprobs(), from.prompt_logprobs(), ask.prompt_logprobs);
  ask.routed_experts = from.routed_experts();
  ask.skip_special = !from.keep_special_tokens();
}

FieldError FromStatus(const std::string& field, const absl::Status& status) {
  return {field, std::string(status.message()), status.code()};
}

FieldError NoTokenizer(const std::string& field) {
  return {field, "this model has no tokenizer: send token_ids",
          absl::StatusCode::kFailedPrecondition};
}

Failure EncodeInto(const Text& text, std::string_view prompt, const std::string& field,
                   bool special, std::vector<TokenId>& ids) {
  auto encoded = text.Encode(prompt, special, /*add_special_tokens=*/true);
  if (!encoded.ok()) return FromStatus(field, encoded.status());
  ids = *std::move(encoded);
  return std::nullopt;
}

Failure TakePrompt(const v1::GenerateRequest& request, const Text* text, ClientAsk& ask) {
  switch (request.prompt_case()) {
    case v1::GenerateRequest::kTokenIds:
      ask.prompt.assign(request.token_ids().ids().begin(), request.token_ids().ids().end());
      return std::nullopt;
    case v1::GenerateRequest::kText:
      if (text == nullptr) return NoTokenizer("text");
      return EncodeInto(*text, request.text(), "text", /*special=*/true, ask.prompt);
    case v1::GenerateRequest::kChat: {
      if (text == nullptr) return NoTokenizer("chat");
      std::string prompt;
      if (Failure bad = RenderPrompt(request.chat(), *text, "chat", prompt)) return bad;
      return EncodeInto(*text, prompt, "chat", /*special=*/true, ask.prompt);
    }
    case v1::GenerateRequest::PROMPT_NOT_SET:
      break;
  }
  return FieldError{"prompt", "one of text, token_ids and chat must be set"};
}

}  // namespace

// The variables object with enable_thinking added, textually: order and numbers stay as they were.
static Failure VariablesOf(const v1::ChatPrompt& chat, const std::string& field,
                           std::string& json) {
  std::string_view given = chat.template_variables_json();
  while (!given.empty() && static_cast<unsigned char>(given.front()) <= ' ') given.remove_prefix(1);
  while (!given.empty() && static_cast<unsigned char>(given.back()) <= ' ') given.remove_suffix(1);
  if (given.empty()) given = "{}";
  if (given.front() != '{' || given.back() != '}' || given.size() < 2) {
    return FieldError{absl::StrCat(field, ".template_variables_json"), "must be a JSON object"};
  }
  json = given;
  if (!chat.has_enable_thinking()) return std::nullopt;
  const std::string_view inner = given.substr(1, given.size() - 2);
  const bool empty = inner.find_first_not_of(" \t\r\n") == std::string_view::npos;
  // A field of the API wins over a variable of the same name: the last one counts.
  json = absl::StrCat("{", std::string(inner), empty ? "" : ",",
                      "\"enable_thinking\":", chat.enable_thinking() ? "true" : "false", "}");
  return std::nullopt;
}

Failure RenderPrompt(const v1::ChatPrompt& chat, const Text& text, const std::string& field,
                     std::string& prompt) {
  if (chat.messages_json().empty()) {
    return FieldError{absl::StrCat(field, ".messages_json"), "must be a JSON array of messages"};
  }
  ChatInput input;
  input.messages_json = chat.messages_json();
  if (!chat.tools_json().empty()) input.tools_json = chat.tools_json();
  if (Failure bad = VariablesOf(chat, field, input.variables_json)) return bad;
  input.add_generation_prompt = !chat.has_add_generation_prompt() || chat.add_generation_prompt();
  auto rendered = text.RenderChat(input);
  if (!rendered.ok()) return FromStatus(field, rendered.status());
  prompt = *std::move(rendered);
  return std::nullopt;
}

Failure Translate(const v1::GenerateRequest& request, const Text* text, ClientAsk& ask) {
  ask.id = request.request_id();
  ask.resume_after = request.resume_after();
  TakeSampling(request.sampling(), ask);
  TakeStop(request.stop(), ask);
  TakeOutput(request.output(), ask);
  return TakePrompt(request, text, ask);
}

std::uint64_t SeedOf(std::string_view request_id) {
  constexpr std::uint64_t kPurpose = 0x5eed;  // never to change: answers under way depend on it
  return HashBytes(request_id, kPurpose);
}

std::string ClientField(std::string field, v1::GenerateRequest::PromptCase prompt) {
  if (field != "prompt.token_ids") return field;
  switch (prompt) {
    case v1::GenerateRequest::kText:
      return "text";
    case v1::GenerateRequest::kTokenIds:
      return "token_ids";
    case v1::GenerateRequest::kChat:
      return "chat";
    case v1::GenerateRequest::PROMPT_NOT_SET:
      break;
  }
  return "prompt";
}

Failure Translate(const v1::TokenizeRequest& request, const Text* text,
                  v1::TokenizeResponse& response) {
  std::vector<TokenId> ids;
  const bool special = !request.has_parse_special_tokens() || request.parse_special_tokens();
  Failure bad;
  switch (request.input_case()) {
    case v1::TokenizeRequest::kText:
      if (text == nullptr) return NoTokenizer("text");
      bad = EncodeInto(*text, request.text(), "text", special, ids);
      break;
    case v1::TokenizeRequest::kChat:
      if (text == nullptr) return NoTokenizer("chat");
      bad = RenderPrompt(request.chat(), *text, "chat", *response.mutable_prompt());
      if (!bad) bad = EncodeInto(*text, response.prompt(), "chat", special, ids);
      break;
    case v1::TokenizeRequest::INPUT_NOT_SET:
      bad = FieldError{"input", "one of text and chat must be set"};
      break;
  }
  if (bad) return bad;
  response.mutable_token_ids()->Assign(ids.begin(), ids.end());
  return std::nullopt;
}

}  // namespace conclave
