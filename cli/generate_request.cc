#include "cli/generate_request.h"

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/limits.h"
#include "base/status.h"

namespace conclave {
namespace {

using nlohmann::json;

absl::Status Bad(std::string_view key, std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(std::string(key), ": ", std::string(what)));
}

absl::StatusOr<std::int32_t> Int(std::string_view key, const json& value) {
  const bool whole = value.is_number_unsigned() || value.is_number_integer();
  if (!whole) return Bad(key, "must be a whole number");
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > INT32_MAX) {
    return Bad(key, "is too large");
  }
  const auto wide = value.get<std::int64_t>();
  if (wide < INT32_MIN || wide > INT32_MAX) return Bad(key, "is too large");
  return static_cast<std::int32_t>(wide);
}

absl::StatusOr<double> Number(std::string_view key, const json& value) {
  if (!value.is_number()) return Bad(key, "must be a number");
  return value.get<double>();
}

absl::StatusOr<bool> Bool(std::string_view key, const json& value) {
  if (!value.is_boolean()) return Bad(key, "must be true or false");
  return value.get<bool>();
}

absl::StatusOr<std::string> String(std::string_view key, const json& value) {
  if (!value.is_string()) return Bad(key, "must be a string");
  return value.get<std::string>();
}

absl::StatusOr<std::vector<std::int32_t>> Ids(std::string_view key, const json& value) {
  if (!value.is_array()) return Bad(key, "must be an array of token ids");
  std::vector<std::int32_t> ids;
  for (const json& entry : value) {
    ASSIGN_OR_RETURN(const std::int32_t id, Int(key, entry));
    ids.push_back(id);
  }
  return ids;
}

// "1,2,3", blanks and brackets allowed, or "@FILE" with such a text inside.
absl::StatusOr<std::vector<std::int32_t>> IdsFromText(std::string_view key, std::string text,
                                                      const ReadFileFn& read_file) {
  if (!text.empty() && text.front() == '@') {
    ASSIGN_OR_RETURN(text, read_file(text.substr(1)));
  }
  std::vector<std::int32_t> ids;
  for (const absl::string_view word : absl::StrSplit(text, absl::ByAnyChar(", \t\r\n[]"))) {
    if (word.empty()) continue;
    std::int32_t id = 0;
    if (!absl::SimpleAtoi(word, &id)) {
      return Bad(key, absl::StrCat("'", word.substr(0, 40), "' is not a token id"));
    }
    ids.push_back(id);
  }
  return ids;
}

// The prompt's keys say one thing together.
struct Prompt {
  std::optional<std::string> text;
  std::optional<std::vector<std::int32_t>> ids;
  bool chat = false;
  json messages;  // null, or an array
  json tools;
  std::optional<bool> thinking;
};

struct Reading {
  v1::GenerateRequest request;
  Prompt prompt;
  const ReadFileFn& read_file;
  std::string_view key;
};

absl::Status ReadPromptIds(Reading& in, const json& value) {
  if (value.is_string()) {
    ASSIGN_OR_RETURN(in.prompt.ids, IdsFromText(in.key, value, in.read_file));
  } else {
    ASSIGN_OR_RETURN(in.prompt.ids, Ids(in.key, value));
  }
  return absl::OkStatus();
}

absl::Status ReadChat(Reading& in, const json& value) {
  if (value.is_array()) {
    in.prompt.messages = value;
    in.prompt.chat = true;
    return absl::OkStatus();
  }
  if (!value.is_boolean()) return Bad(in.key, "must be true, false or an array of messages");
  in.prompt.chat = value;
  return absl::OkStatus();
}

absl::Status ReadStop(Reading& in, const json& value) {
  const json list = value.is_array() ? value : json::array({value});
  for (const json& entry : list) {
    ASSIGN_OR_RETURN(std::string text, String(in.key, entry));
    in.request.mutable_stop()->add_strings(std::move(text));
  }
  return absl::OkStatus();
}

// {"17": -1.5} or [[17, -1.5]].
absl::Status ReadLogitBias(Reading& in, const json& value) {
  if (!value.is_array() && !value.is_object())
    return Bad(in.key, "must be [[token id, bias], ...]");
  for (const auto& item : value.items()) {
    json id = item.value().is_array() && item.value().size() == 2 ? item.value()[0] : json();
    json bias = item.value().is_array() && item.value().size() == 2 ? item.value()[1] : json();
    if (value.is_object()) {
      std::int32_t number = 0;
      if (!absl::SimpleAtoi(item.key(), &number)) return Bad(in.key, "keys must be token ids");
      id = number;
      bias = item.value();
    }
    v1::LogitBias& entry = *in.request.mutable_sampling()->add_logit_bias();
    ASSIGN_OR_RETURN(const std::int32_t token, Int(in.key, id));
    ASSIGN_OR_RETURN(const double amount, Number(in.key, bias));
    entry.set_token_id(token);
    entry.set_bias(static_cast<float>(amount));
  }
  return absl::OkStatus();
}

absl::Status ReadSeed(Reading& in, const json& value) {
  if (!value.is_number_unsigned()) return Bad(in.key, "must be a whole number, 0 or more");
  in.request.mutable_sampling()->set_seed(value.get<std::uint64_t>());
  return absl::OkStatus();
}

absl::Status ReadStopIds(Reading& in, const json& value) {
  ASSIGN_OR_RETURN(const auto ids, Ids(in.key, value));
  in.request.mutable_stop()->mutable_token_ids()->Assign(ids.begin(), ids.end());
  return absl::OkStatus();
}

using ReadFn = absl::Status (*)(Reading&, const json&);

// Readers of plain fields: PART is sampling, stop or output.
#define FIELD(PART, FIELD_NAME, TYPE)                          \
  [](Reading& in, const json& value) -> absl::Status {         \
    ASSIGN_OR_RETURN(const auto checked, TYPE(in.key, value)); \
    in.request.mutable_##PART()->set_##FIELD_NAME(checked);    \
    return absl::OkStatus();                                   \
  }
#define PROMPT(FIELD_NAME, TYPE)                                 \
  [](Reading& in, const json& value) -> absl::Status {           \
    ASSIGN_OR_RETURN(in.prompt.FIELD_NAME, TYPE(in.key, value)); \
    return absl::OkStatus();                                     \
  }

const std::map<std::string_view, ReadFn>& Readers() {
  static const auto* readers = new std::map<std::string_view, ReadFn>{
      {"id",
       [](Reading& in, const json& value) -> absl::Status {
         ASSIGN_OR_RETURN(std::string id, String(in.key, value));
         in.request.set_request_id(std::move(id));
         return absl::OkStatus();
       }},
      {"resume_after",
       [](Reading& in, const json& value) -> absl::Status {
         ASSIGN_OR_RETURN(const std::int32_t tokens, Int(in.key, value));
         in.request.set_resume_after(tokens);
         return absl::OkStatus();
       }},
      {"text", PROMPT(text, String)},
      {"prompt_ids", ReadPromptIds},
      {"chat", ReadChat},
      {"tools",
       [](Reading& in, const json& value) -> absl::Status {
         if (!value.is_array() && !value.is_null()) return Bad(in.key, "must be an array");
         in.prompt.tools = value;
         return absl::OkStatus();
       }},
      {"enable_thinking", PROMPT(thinking, Bool)},
      {"temperature", FIELD(sampling, temperature, Number)},
      {"top_k", FIELD(sampling, top_k, Int)},
      {"top_p", FIELD(sampling, top_p, Number)},
      {"min_p", FIELD(sampling, min_p, Number)},
      {"repetition_penalty", FIELD(sampling, repetition_penalty, Number)},
      {"presence_penalty", FIELD(sampling, presence_penalty, Number)},
      {"frequency_penalty", FIELD(sampling, frequency_penalty, Number)},
      {"logit_bias", ReadLogitBias},
      {"seed", ReadSeed},
      {"max_tokens", FIELD(stop, max_tokens, Int)},
      {"min_tokens", FIELD(stop, min_tokens, Int)},
      {"stop", ReadStop},
      {"stop_ids", ReadStopIds},
      {"ignore_eos", FIELD(stop, ignore_eos, Bool)},
      {"include_stop_string", FIELD(stop, include_stop_string, Bool)},
      {"logprobs", FIELD(output, logprobs, Int)},
      {"prompt_logprobs", FIELD(output, prompt_logprobs, Int)},
      {"routed_experts", FIELD(output, routed_experts, Bool)},
      {"keep_special_tokens", FIELD(output, keep_special_tokens, Bool)},
  };
  return *readers;
}

absl::Status SetPrompt(Reading& in) {
  const Prompt& prompt = in.prompt;
  const int forms =
      (prompt.text ? 1 : 0) + (prompt.ids ? 1 : 0) + (prompt.messages.is_array() ? 1 : 0);
  if (forms == 0) return Bad("prompt", "give text, prompt_ids, or chat messages");
  if (forms > 1) return Bad("prompt", "text, prompt_ids and chat messages exclude one another");
  if (prompt.ids) {
    if (prompt.chat) return Bad("chat", "wraps text, not prompt_ids");
    in.request.mutable_token_ids()->mutable_ids()->Assign(prompt.ids->begin(), prompt.ids->end());
    return absl::OkStatus();
  }
  if (!prompt.chat) {
    if (!prompt.tools.is_null()) return Bad("tools", "are for chat");
    if (prompt.thinking) return Bad("enable_thinking", "is for chat");
    in.request.set_text(*prompt.text);
    return absl::OkStatus();
  }
  const json messages =
      prompt.text ? json::array({{{"role", "user"}, {"content", *prompt.text}}}) : prompt.messages;
  v1::ChatPrompt& chat = *in.request.mutable_chat();
  chat.set_messages_json(messages.dump());
  if (!prompt.tools.is_null()) chat.set_tools_json(prompt.tools.dump());
  if (prompt.thinking) chat.set_enable_thinking(*prompt.thinking);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<v1::GenerateRequest> RequestFromJson(const json& object,
                                                    const ReadFileFn& read_file) {
  if (!object.is_object()) return absl::InvalidArgumentError("a request must be a JSON object");
  Reading in{.request = {}, .prompt = {}, .read_file = read_file, .key = {}};
  for (const auto& item : object.items()) {
    const auto reader = Readers().find(item.key());
    if (reader == Readers().end()) return Bad(item.key(), "is not a key of a request");
    in.key = reader->first;
    RETURN_IF_ERROR(reader->second(in, item.value()));
  }
  RETURN_IF_ERROR(SetPrompt(in));
  return in.request;
}

absl::StatusOr<v1::GenerateRequest> RequestFromLine(const std::string& line,
                                                    const ReadFileFn& read_file) {
  if (line.size() > kRequestBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("a request of ", line.size(), " bytes; at most ", kRequestBytesMax));
  }
  const json object = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (object.is_discarded()) return absl::InvalidArgumentError("not a JSON object");
  return RequestFromJson(object, read_file);
}

}  // namespace conclave
