#include "text/jsonl.h"

#include <utility>
#include <vector>

#include "base/status.h"
#include "nlohmann/json.hpp"

namespace conclave {
namespace {

using Json = nlohmann::ordered_json;

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

std::string ErrorLine(const absl::Status& status) {
  return Dump(Json{{"error", std::string(status.message())}});
}

absl::StatusOr<Json> ParseObject(std::string_view line) {
  Json json;
  try {
    json = Json::parse(line);
  } catch (const Json::exception& error) {
    return absl::InvalidArgumentError(error.what());
  }
  if (!json.is_object()) return absl::InvalidArgumentError("a line must be a JSON object");
  return json;
}

absl::StatusOr<Json> Tokenize(const Text& text, std::string_view json_line) {
  ASSIGN_OR_RETURN(const Json line, ParseObject(json_line));
  bool special = true;
  std::string input;
  bool has_text = false;
  for (const auto& [key, value] : line.items()) {
    if (key == "text" && value.is_string()) {
      input = value.get<std::string>();
      has_text = true;
    } else if (key == "special" && value.is_boolean()) {
      special = value.get<bool>();
    } else if (key == "text" || key == "special") {
      return absl::InvalidArgumentError(key + (key == "text" ? ": not a string" : ": not a bool"));
    } else {
      return absl::InvalidArgumentError("unknown key: " + key);
    }
  }
  if (!has_text) return absl::InvalidArgumentError("text: missing");
  ASSIGN_OR_RETURN(const std::vector<TokenId> ids, text.Encode(input, special, false));
  ASSIGN_OR_RETURN(std::string decoded, text.Decode(ids, /*skip_special=*/false));
  ASSIGN_OR_RETURN(std::string without, text.Decode(ids, /*skip_special=*/true));
  return Json{{"ids", ids},
              {"decoded", std::move(decoded)},
              {"decoded_without_special", std::move(without)}};
}

struct RenderAsk {
  ChatInput input;
  Json special_tokens = Json::object();
};

absl::StatusOr<RenderAsk> ParseRenderLine(std::string_view json_line) {
  ASSIGN_OR_RETURN(Json line, ParseObject(json_line));
  RenderAsk ask;
  if (!line.contains("messages")) return absl::InvalidArgumentError("messages: missing");
  ask.input.messages_json = Dump(line["messages"]);
  line.erase("messages");
  if (line.contains("tools")) {
    ask.input.tools_json = Dump(line["tools"]);
    line.erase("tools");
  }
  if (line.contains("add_generation_prompt")) {
    const Json flag = line["add_generation_prompt"];
    if (!flag.is_boolean()) return absl::InvalidArgumentError("add_generation_prompt: not a bool");
    ask.input.add_generation_prompt = flag.get<bool>();
    line.erase("add_generation_prompt");
  }
  if (line.contains("special_tokens")) {
    ask.special_tokens = line["special_tokens"];
    if (!ask.special_tokens.is_object()) {
      return absl::InvalidArgumentError("special_tokens: not an object");
    }
    line.erase("special_tokens");
  }
  ask.input.variables_json = Dump(line);
  return ask;
}

std::string PromptLine(const absl::StatusOr<std::string>& prompt) {
  if (!prompt.ok()) return ErrorLine(prompt.status());
  return Dump(Json{{"prompt", *prompt}});
}

}  // namespace

std::string TokenizeLine(const Text& text, std::string_view json_line) {
  const absl::StatusOr<Json> result = Tokenize(text, json_line);
  return result.ok() ? Dump(*result) : ErrorLine(result.status());
}

std::string RenderLine(const Text& text, std::string_view json_line) {
  absl::StatusOr<RenderAsk> ask = ParseRenderLine(json_line);
  if (!ask.ok()) return ErrorLine(ask.status());
  // The line's special tokens become variables, which go before the model's own.
  Json variables = Json::parse(ask->input.variables_json);
  for (const auto& [name, token] : ask->special_tokens.items()) {
    if (!variables.contains(name)) variables[name] = token;
  }
  ask->input.variables_json = Dump(variables);
  return PromptLine(text.RenderChat(ask->input));
}

std::string RenderLine(std::string_view template_source, std::string_view json_line) {
  const absl::StatusOr<RenderAsk> ask = ParseRenderLine(json_line);
  if (!ask.ok()) return ErrorLine(ask.status());
  return PromptLine(RenderTemplate(template_source, ask->input, Dump(ask->special_tokens)));
}

}  // namespace conclave
