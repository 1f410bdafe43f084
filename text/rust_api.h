// The C ABI of text/rust/src/lib.rs. Strings are pointer and length; UTF-8 is checked on the other
// side. Functions that return int give an absl status code; on failure they fill `error`, on
// success `out`.
#pragma once

#include <cstddef>
#include <cstdint>

namespace conclave {

struct RustCoder;          // a loaded tokenizer; safe to share between threads
struct RustStreamDecoder;  // one stream; keeps what it needs of its tokenizer alive

struct RustSpan {  // borrowed
  const std::uint8_t* data;
  std::size_t size;
};

struct RustBytes {  // owned; conclave_text_free_bytes
  std::uint8_t* data;
  std::size_t size;
  std::size_t capacity;
};

struct RustIds {  // owned; conclave_text_free_ids
  std::uint32_t* data;
  std::size_t size;
  std::size_t capacity;
};

// Writes the present local time into `out` as strftime does; the length, 0 when it does not fit.
using RustFormatTime = std::size_t (*)(const std::uint8_t* format, std::size_t size,
                                       std::uint8_t* out, std::size_t capacity);

struct RustRenderInput {
  RustSpan messages;
  RustSpan tools;
  RustSpan variables;
  RustSpan special_tokens;
  bool add_generation_prompt;
  RustFormatTime time;
};

extern "C" {
int conclave_text_load(RustSpan json, RustCoder** out, RustBytes* error);
void conclave_text_unload(RustCoder* coder);
int conclave_text_encode(const RustCoder* coder, RustSpan text, bool parse_special,
                         bool add_special, RustIds* out, RustBytes* error);
int conclave_text_decode(const RustCoder* coder, const std::int32_t* ids, std::size_t size,
                         bool skip_special, RustBytes* out, RustBytes* error);
std::size_t conclave_text_vocab_size(const RustCoder* coder);
std::int64_t conclave_text_id_of(const RustCoder* coder, RustSpan token);
RustStreamDecoder* conclave_text_new_decoder(const RustCoder* coder, bool skip_special);
RustSpan conclave_text_push(RustStreamDecoder* decoder, std::int32_t id);
RustSpan conclave_text_flush(RustStreamDecoder* decoder);
void conclave_text_free_decoder(RustStreamDecoder* decoder);
int conclave_text_check_template(RustSpan source, RustBytes* error);
int conclave_text_render(RustSpan source, const RustRenderInput* input, RustBytes* out,
                         RustBytes* error);
void conclave_text_free_bytes(RustBytes bytes);
void conclave_text_free_ids(RustIds ids);
}

}  // namespace conclave
