// A Text small enough to see through, for tests and the simulator: no files, no Rust.
//
//   id 0..127      that ASCII character
//   id 128..255    that byte: half of a UTF-8 character and no text by itself
//   id 256..931    two letters, "aa" to "zz"
//   id 932, 933    the special tokens <start> and <end>
#pragma once

#include <memory>

#include "text/text.h"

namespace conclave {

inline constexpr TokenId kToyPairs = 256;
inline constexpr TokenId kToyStart = kToyPairs + 26 * 26;
inline constexpr TokenId kToyEnd = kToyStart + 1;
inline constexpr int kToyVocab = kToyEnd + 1;

// Encode takes pairs of lower-case letters first, from the left; add_special_tokens puts <start> in
// front. The chat template is <start>role\ncontent<end>\n for each message and <start>assistant\n
// at the end; it refuses tools.
std::unique_ptr<Text> MakeToyText();

}  // namespace conclave
