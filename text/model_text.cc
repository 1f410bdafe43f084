#include "text/model_text.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "nlohmann/json.hpp"

namespace conclave {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t kTextFileBytesMax = std::int64_t{256} << 20;

// Nothing when there is no such file.
absl::StatusOr<std::optional<std::string>> ReadIfPresent(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return std::nullopt;
    return absl::FailedPreconditionError(absl::StrCat(path, ": ", std::strerror(errno)));
  }
  if (!S_ISREG(info.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": not a regular file"));
  }
  if (info.st_size > kTextFileBytesMax) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": ", info.st_size, " bytes, at most ", kTextFileBytesMax));
  }
  std::string text(static_cast<std::size_t>(info.st_size), '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file.read(text.data(), info.st_size)) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": cannot be read"));
  }
  return std::optional<std::string>(std::move(text));
}

// A special token is a string or an object with its text in "content"; null and absent are none.
std::optional<std::string> SpecialToken(const Json& config, const char* name) {
  const auto entry = config.find(name);
  if (entry == config.end()) return std::nullopt;
  if (entry->is_string()) return entry->get<std::string>();
  if (!entry->is_object()) return std::nullopt;
  const auto content = entry->find("content");
  if (content == entry->end() || !content->is_string()) return std::nullopt;
  return content->get<std::string>();
}

// chat_template is a string or a list of {"name", "template"}, of which "default" is taken.
absl::StatusOr<std::optional<std::string>> TemplateOf(const Json& config, const std::string& path) {
  const auto entry = config.find("chat_template");
  if (entry == config.end() || entry->is_null()) return std::nullopt;
  if (entry->is_string()) return std::optional(entry->get<std::string>());
  if (!entry->is_array()) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": chat_template must be a string or a list"));
  }
  for (const Json& named : *entry) {
    if (!named.is_object() || named.value("name", Json()) != "default") continue;
    const Json source = named.value("template", Json());
    if (source.is_string()) return std::optional(source.get<std::string>());
  }
  return absl::FailedPreconditionError(
      absl::StrCat(path, ": chat_template has no template named \"default\""));
}

absl::Status ReadConfig(const std::string& path, TextFiles& files) {
  ASSIGN_OR_RETURN(const std::optional<std::string> text, ReadIfPresent(path));
  if (!text.has_value()) return absl::OkStatus();
  const Json config = Json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": not a JSON object"));
  }
  Json special = Json::object();
  for (const char* name : {"bos_token", "eos_token", "pad_token", "unk_token"}) {
    if (std::optional<std::string> token = SpecialToken(config, name)) special[name] = *token;
  }
  files.special_tokens_json = special.dump();
  if (files.chat_template.has_value()) return absl::OkStatus();
  ASSIGN_OR_RETURN(files.chat_template, TemplateOf(config, path));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TextFiles> ReadTextFiles(const std::string& model_dir) {
  const std::string tokenizer_path = absl::StrCat(model_dir, "/tokenizer.json");
  TextFiles files;
  ASSIGN_OR_RETURN(std::optional<std::string> tokenizer, ReadIfPresent(tokenizer_path));
  if (!tokenizer.has_value()) {
    return absl::NotFoundError(absl::StrCat(tokenizer_path, ": no such file"));
  }
  files.tokenizer_json = *std::move(tokenizer);
  ASSIGN_OR_RETURN(files.chat_template,
                   ReadIfPresent(absl::StrCat(model_dir, "/chat_template.jinja")));
  RETURN_IF_ERROR(ReadConfig(absl::StrCat(model_dir, "/tokenizer_config.json"), files));
  return files;
}

}  // namespace conclave
