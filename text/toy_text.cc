#include "text/toy_text.h"

#include <cstdint>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "nlohmann/json.hpp"
#include "text/utf8_stream.h"

namespace conclave {
namespace {

constexpr char kStartToken[] = "<start>";
constexpr char kEndToken[] = "<end>";

bool IsLetter(char c) { return c >= 'a' && c <= 'z'; }

// The bytes of an id; none beyond the vocabulary.
std::string PieceOf(TokenId id, bool skip_special) {
  if (id < 0 || id >= kToyVocab) return "";
  if (id == kToyStart) return skip_special ? "" : std::string(kStartToken);
  if (id == kToyEnd) return skip_special ? "" : std::string(kEndToken);
  if (id < kToyPairs) return std::string(1, static_cast<char>(id));
  const int pair = id - kToyPairs;
  return {static_cast<char>('a' + pair / 26), static_cast<char>('a' + pair % 26)};
}

class ToyDecoder final : public StreamDecoder {
 public:
  explicit ToyDecoder(bool skip_special) : skip_special_(skip_special) {}
  std::string Push(TokenId id) override { return stream_.Push(PieceOf(id, skip_special_)); }
  std::string Flush() override { return stream_.Flush(); }

 private:
  const bool skip_special_;
  Utf8Stream stream_;
};

// Each whole character must come out as it went in.
absl::Status CheckUtf8(std::string_view text) {
  Utf8Stream stream;
  std::size_t whole = 0;  // bytes of `text` that are known to be characters
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::string out = stream.Push(text.substr(i, 1));
    if (out != text.substr(whole, out.size())) break;
    whole += out.size();
  }
  if (whole == text.size()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("text: not UTF-8 at byte ", whole));
}

class ToyText final : public Text {
 public:
  absl::StatusOr<std::vector<TokenId>> Encode(std::string_view text, bool parse_special,
                                              bool add_special_tokens) const override {
    RETURN_IF_ERROR(CheckUtf8(text));
    std::vector<TokenId> ids;
    if (add_special_tokens) ids.push_back(kToyStart);
    while (!text.empty()) {
      if (parse_special && text.starts_with(kStartToken)) {
        ids.push_back(kToyStart);
        text.remove_prefix(std::strlen(kStartToken));
      } else if (parse_special && text.starts_with(kEndToken)) {
        ids.push_back(kToyEnd);
        text.remove_prefix(std::strlen(kEndToken));
      } else if (text.size() >= 2 && IsLetter(text[0]) && IsLetter(text[1])) {
        ids.push_back(kToyPairs + (text[0] - 'a') * 26 + (text[1] - 'a'));
        text.remove_prefix(2);
      } else {
        ids.push_back(static_cast<std::uint8_t>(text[0]));
        text.remove_prefix(1);
      }
    }
    return ids;
  }

  absl::StatusOr<std::string> Decode(std::span<const TokenId> ids,
                                     bool skip_special) const override {
    std::string bytes;
    for (const TokenId id : ids) bytes += PieceOf(id, skip_special);
    Utf8Stream stream;
    std::string text = stream.Push(bytes);
    return text + stream.Flush();
  }

  std::unique_ptr<StreamDecoder> NewDecoder(bool skip_special) const override {
    return std::make_unique<ToyDecoder>(skip_special);
  }

  absl::StatusOr<std::string> RenderChat(const ChatInput& input) const override {
    using Json = nlohmann::ordered_json;
    const Json messages = Json::parse(input.messages_json, nullptr, /*allow_exceptions=*/false);
    if (!messages.is_array()) return absl::InvalidArgumentError("messages must be an array");
    if (input.tools_json != "null") return absl::InvalidArgumentError("the toy knows no tools");
    std::string prompt;
    for (const Json& message : messages) {
      const auto text = [&](const char* key) {
        const bool present = message.is_object() && message.contains(key);
        return present && message[key].is_string() ? message[key].get<std::string>() : "";
      };
      absl::StrAppend(&prompt, kStartToken, text("role"), "\n", text("content"), kEndToken, "\n");
    }
    if (input.add_generation_prompt) absl::StrAppend(&prompt, kStartToken, "assistant\n");
    return prompt;
  }

  int vocab_size() const override { return kToyVocab; }

  std::optional<TokenId> IdOf(std::string_view token) const override {
    for (TokenId id = 0; id < kToyVocab; ++id) {
      if (PieceOf(id, /*skip_special=*/false) == token) return id;
    }
    return std::nullopt;
  }

  bool has_chat_template() const override { return true; }
};

}  // namespace

std::unique_ptr<Text> MakeToyText() { return std::make_unique<ToyText>(); }

}  // namespace conclave
