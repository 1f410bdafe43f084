#include "text/text.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "base/status.h"
#include "text/model_text.h"
#include "text/rust_call.h"
#include "text/template.h"

namespace conclave {
namespace {

struct Unload {
  void operator()(RustCoder* coder) const { conclave_text_unload(coder); }
};

struct FreeDecoder {
  void operator()(RustStreamDecoder* decoder) const { conclave_text_free_decoder(decoder); }
};

class RustDecoder final : public StreamDecoder {
 public:
  explicit RustDecoder(RustStreamDecoder* decoder) : decoder_(decoder) {}

  std::string Push(TokenId id) override {
    return std::string(ViewOf(conclave_text_push(decoder_.get(), id)));
  }
  std::string Flush() override { return std::string(ViewOf(conclave_text_flush(decoder_.get()))); }

 private:
  std::unique_ptr<RustStreamDecoder, FreeDecoder> decoder_;
};

class RustText final : public Text {
 public:
  RustText(RustCoder* coder, TextFiles files)
      : coder_(coder),
        chat_template_(std::move(files.chat_template)),
        special_tokens_json_(std::move(files.special_tokens_json)),
        vocab_size_(static_cast<int>(conclave_text_vocab_size(coder))) {}

  absl::StatusOr<std::vector<TokenId>> Encode(std::string_view text, bool parse_special,
                                              bool add_special_tokens) const override {
    RustIds ids{};
    RustBytes error{};
    const int code = conclave_text_encode(coder_.get(), SpanOf(text), parse_special,
                                          add_special_tokens, &ids, &error);
    RETURN_IF_ERROR(TakeStatus(code, error));
    std::vector<TokenId> result(ids.data, ids.data + ids.size);
    conclave_text_free_ids(ids);
    return result;
  }

  absl::StatusOr<std::string> Decode(std::span<const TokenId> ids,
                                     bool skip_special) const override {
    RustBytes text{};
    RustBytes error{};
    const int code =
        conclave_text_decode(coder_.get(), ids.data(), ids.size(), skip_special, &text, &error);
    RETURN_IF_ERROR(TakeStatus(code, error));
    return TakeBytes(text);
  }

  std::unique_ptr<StreamDecoder> NewDecoder(bool skip_special) const override {
    return std::make_unique<RustDecoder>(conclave_text_new_decoder(coder_.get(), skip_special));
  }

  absl::StatusOr<std::string> RenderChat(const ChatInput& input) const override {
    if (!chat_template_.has_value()) {
      return absl::FailedPreconditionError("the model has no chat template");
    }
    return RenderTemplate(*chat_template_, input, special_tokens_json_);
  }

  int vocab_size() const override { return vocab_size_; }

  std::optional<TokenId> IdOf(std::string_view token) const override {
    const std::int64_t id = conclave_text_id_of(coder_.get(), SpanOf(token));
    if (id < 0 || id >= vocab_size_) return std::nullopt;
    return static_cast<TokenId>(id);
  }

  bool has_chat_template() const override { return chat_template_.has_value(); }

 private:
  const std::unique_ptr<RustCoder, Unload> coder_;
  const std::optional<std::string> chat_template_;
  const std::string special_tokens_json_;
  const int vocab_size_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Text>> LoadText(const std::string& model_dir) {
  ASSIGN_OR_RETURN(TextFiles files, ReadTextFiles(model_dir));
  if (files.chat_template.has_value()) {
    const absl::Status compiled = CheckTemplate(*files.chat_template);
    if (!compiled.ok()) {
      return absl::FailedPreconditionError(absl::StrCat(model_dir, ": ", compiled.message()));
    }
  }
  RustCoder* coder = nullptr;
  RustBytes error{};
  const absl::Status loaded =
      TakeStatus(conclave_text_load(SpanOf(files.tokenizer_json), &coder, &error), error);
  if (!loaded.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat(model_dir, "/tokenizer.json: ", loaded.message()));
  }
  files.tokenizer_json = std::string();  // large, and no longer needed
  auto text = std::make_unique<RustText>(coder, std::move(files));
  if (text->vocab_size() > kVocabMax) {
    return absl::FailedPreconditionError(absl::StrCat(
        model_dir, "/tokenizer.json: ", text->vocab_size(), " ids, at most ", kVocabMax));
  }
  return text;
}

}  // namespace conclave
