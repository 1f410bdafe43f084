// Where the time of the longest stalls went: the log lines of that time.
#pragma once

#include <string>
#include <vector>

#include "torture/log_book.h"
#include "torture/stalls.h"

namespace conclave::torture {

// The longest a stall of this kind should be.
Micros StallLimit(DeedKind kind);

// Says the longest gap of each deed in the book; and on standard error, for the worst few with a stall
// above its limit, what the book has of that time. `names`: of windows.
void SayWorst(const std::vector<Gap>& gaps, const std::vector<Window>& windows,
              const std::vector<std::string>& names, LogBook& book, Micros start);

}  // namespace conclave::torture
