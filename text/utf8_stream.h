// Bytes in, whole UTF-8 characters out.
#pragma once

#include <string>
#include <string_view>

namespace conclave {

// Bytes that can never become a character turn into U+FFFD, one for each longest start of a
// character, as the Unicode standard recommends. What is held back is at most three bytes of an
// unfinished character.
class Utf8Stream {
 public:
  std::string Push(std::string_view bytes);
  std::string Flush();  // U+FFFD when something is held back; empty afterwards

 private:
  std::string held_;
};

}  // namespace conclave
