// The text files of a model directory, read and checked.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"

namespace conclave {

struct TextFiles {
  std::string tokenizer_json;
  std::optional<std::string> chat_template;
  std::string special_tokens_json =
      "{}";  // {"eos_token": "<|im_end|>", ...}, what templates may read
};

// tokenizer.json (NotFound without it), chat_template.jinja, else chat_template of
// tokenizer_config.json, and that file's bos_token, eos_token, pad_token, unk_token.
// FailedPrecondition for what cannot be read or understood.
absl::StatusOr<TextFiles> ReadTextFiles(const std::string& model_dir);

}  // namespace conclave
