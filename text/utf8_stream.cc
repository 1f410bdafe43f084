#include "text/utf8_stream.h"

#include <cstddef>
#include <cstdint>

namespace conclave {
namespace {

constexpr char kReplacement[] = "\xEF\xBF\xBD";

struct Range {
  unsigned low;
  unsigned high;
};

// How long a character with this first byte is; 0 when none starts so.
std::size_t LengthOf(unsigned first) {
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return 2;
  if (first >= 0xE0 && first <= 0xEF) return 3;
  if (first >= 0xF0 && first <= 0xF4) return 4;
  return 0;
}

// What the second byte may be: no overlong forms, no surrogates, nothing beyond U+10FFFF.
Range SecondOf(unsigned first) {
  switch (first) {
    case 0xE0:
      return {0xA0, 0xBF};
    case 0xED:
      return {0x80, 0x9F};
    case 0xF0:
      return {0x90, 0xBF};
    case 0xF4:
      return {0x80, 0x8F};
    default:
      return {0x80, 0xBF};
  }
}

// The start of one character: `size` good bytes of `length`; a length of 0 is a byte that starts
// nothing.
struct Start {
  std::size_t size;
  std::size_t length;
};

Start StartOf(std::string_view bytes) {
  const auto at = [&](std::size_t i) {
    return static_cast<unsigned>(static_cast<std::uint8_t>(bytes[i]));
  };
  const std::size_t length = LengthOf(at(0));
  if (length <= 1) return {1, length};
  std::size_t size = 1;
  Range range = SecondOf(at(0));
  while (size < length && size < bytes.size() && at(size) >= range.low && at(size) <= range.high) {
    ++size;
    range = {0x80, 0xBF};
  }
  return {size, length};
}

}  // namespace

std::string Utf8Stream::Push(std::string_view bytes) {
  held_.append(bytes);
  std::string text;
  std::string_view rest = held_;
  while (!rest.empty()) {
    const Start start = StartOf(rest);
    if (start.size == start.length) {
      text.append(rest.substr(0, start.size));
    } else if (start.length != 0 && start.size == rest.size()) {
      break;  // the next byte decides
    } else {
      text.append(kReplacement);
    }
    rest.remove_prefix(start.size);
  }
  held_ = std::string(rest);
  return text;
}

std::string Utf8Stream::Flush() {
  std::string text = held_.empty() ? "" : kReplacement;
  held_.clear();
  return text;
}

}  // namespace conclave
