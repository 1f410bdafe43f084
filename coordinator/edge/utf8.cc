#include "coordinator/edge/utf8.h"

#include <cstddef>
#include <cstdint>

namespace conclave {
namespace {

// Length of the character that `lead` starts, 0 if none can; the bounds of its second byte.
struct Lead {
  std::size_t length;
  std::uint8_t second_min, second_max;
};

Lead LeadOf(std::uint8_t byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xc2) return {0, 0, 0};
  if (byte < 0xe0) return {2, 0x80, 0xbf};
  if (byte == 0xe0) return {3, 0xa0, 0xbf};
  if (byte == 0xed) return {3, 0x80, 0x9f};
  if (byte < 0xf0) return {3, 0x80, 0xbf};
  if (byte == 0xf0) return {4, 0x90, 0xbf};
  if (byte < 0xf4) return {4, 0x80, 0xbf};
  if (byte == 0xf4) return {4, 0x80, 0x8f};
  return {0, 0, 0};
}

}  // namespace

bool IsUtf8(std::string_view bytes) {
  const auto at = [bytes](std::size_t i) { return static_cast<std::uint8_t>(bytes[i]); };
  for (std::size_t i = 0; i < bytes.size();) {
    const Lead lead = LeadOf(at(i));
    if (lead.length == 0 || lead.length > bytes.size() - i) return false;
    if (lead.length > 1 && (at(i + 1) < lead.second_min || at(i + 1) > lead.second_max)) {
      return false;
    }
    for (std::size_t k = 2; k < lead.length; ++k) {
      if ((at(i + k) & 0xc0) != 0x80) return false;
    }
    i += lead.length;
  }
  return true;
}

}  // namespace conclave
