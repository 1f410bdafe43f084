// The lines of `conclave tokenize` and `conclave render`: one JSON object in, one out, no newline.
// A line that cannot be served gives {"error": ...}; these functions never fail otherwise.
// Thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "text/text.h"

namespace conclave {

// {"text": ..., "special": bool} -> {"ids": [...], "decoded": ..., "decoded_without_special": ...}.
// "special" (true when absent): added tokens in the text become their ids. Nothing is added to the
// text.
std::string TokenizeLine(const Text& text, std::string_view json_line);

// {"messages": [...], "tools": [...] or null, "add_generation_prompt": true, "special_tokens":
// {...}, any other template variable} -> {"prompt": ...}. The model's template; "special_tokens"
// override the model's.
std::string RenderLine(const Text& text, std::string_view json_line);

// The same with a template of its own, whose special tokens are those of the line.
std::string RenderLine(std::string_view template_source, std::string_view json_line);

}  // namespace conclave
