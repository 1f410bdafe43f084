// Text in, text out: tokenizer, incremental decoding, chat templates. The implementation is a small
// Rust static library around Hugging Face `tokenizers` and `minijinja` (text/rust); nothing of it
// shows here.
//
// This header is L1: pure words and interfaces, so the coordinator's core and the simulator can use
// a toy. Threading: a Text is immutable after loading and may be used from any thread; a
// StreamDecoder belongs to one. Errors: InvalidArgument for what the caller sent (bad UTF-8, a
// template's raise_exception: message kept); NotFound/FailedPrecondition for files.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ids.h"

namespace conclave {

// Turns a growing list of ids into growing text. Never splits a UTF-8 character, and never holds
// back text that no further id could change.
class StreamDecoder {
 public:
  virtual ~StreamDecoder() = default;
  // Appends one id; returns the text that became final (may be empty).
  virtual std::string Push(TokenId id) = 0;
  // The end: what was held back, with U+FFFD for an unfinished character.
  virtual std::string Flush() = 0;
};

// Everything a chat template may read. JSON travels as text; key order is kept.
struct ChatInput {
  std::string messages_json;          // array of {"role": ..., "content": ...}
  std::string tools_json = "null";    // array or null
  std::string variables_json = "{}";  // further template variables, e.g. {"enable_thinking": false}
  bool add_generation_prompt = true;
};

class Text {
 public:
  virtual ~Text() = default;

  // `text` must be UTF-8. With `parse_special`, added tokens in the text become their ids; without,
  // plain text. `add_special_tokens` applies the tokenizer's post-processor (e.g. a BOS).
  virtual absl::StatusOr<std::vector<TokenId>> Encode(std::string_view text, bool parse_special,
                                                      bool add_special_tokens) const = 0;
  virtual absl::StatusOr<std::string> Decode(std::span<const TokenId> ids,
                                             bool skip_special) const = 0;
  virtual std::unique_ptr<StreamDecoder> NewDecoder(bool skip_special) const = 0;

  // The prompt for a conversation; FailedPrecondition when the model has no chat template.
  virtual absl::StatusOr<std::string> RenderChat(const ChatInput& input) const = 0;

  virtual int vocab_size() const = 0;  // ids below it decode to something
  virtual std::optional<TokenId> IdOf(std::string_view token) const = 0;
  virtual bool has_chat_template() const = 0;
};

// Loads tokenizer.json (required), tokenizer_config.json and chat_template.jinja (optional) of a
// model directory. NotFound when tokenizer.json is missing: such a model serves token ids only.
absl::StatusOr<std::unique_ptr<Text>> LoadText(const std::string& model_dir);

// Renders one template outside of a model directory (`conclave render --template`).
// `special_tokens_json` is an object such as {"eos_token": "<|im_end|>"} whose entries become
// template variables.
absl::StatusOr<std::string> RenderTemplate(std::string_view template_source, const ChatInput& input,
                                           std::string_view special_tokens_json);

}  // namespace conclave
