// Where the time of the longest stalls went: what everybody said meanwhile.
#pragma once

#include <string>
#include <vector>

#include "torture/log_book.h"
#include "torture/stalls.h"

namespace conclave::torture {

// The longest a stall of this kind should be.
Micros StallLimit(DeedKind kind);

// On standard error, for the worst few deeds with a stall above its limit. `names`: of windows.
void SayWorst(const std::vector<Gap>& gaps, const std::vector<Window>& windows,
              const std::vector<std::string>& names, const LogBook& book, Micros start);

}  // namespace conclave::torture
