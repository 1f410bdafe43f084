// Many requests, one per line, at the same time; answers in the order of the lines.
#pragma once

#include <functional>
#include <iosfwd>
#include <string>

#include "cli/client.h"
#include "cli/resuming_stream.h"

namespace conclave {

inline constexpr int kConcurrencyMax = 1024;

struct ManyAsk {
  std::string path;  // "-": standard input
  int concurrency = 16;
  Micros retry_for = kRetryForDefault;
};

// Prints one JSON object per line; a line that is no request gives an object with "error". The exit
// code: 0 when all went well, 1 when one failed, 130 when interrupted.
int GenerateMany(Client& client, const ManyAsk& ask, const char* program);

// Calls `answer(line)` for every line of `in`, at most `concurrency` at a time from as many
// threads, and writes what it returns to `out` in the order of the lines. Holds a bounded number of
// lines, whatever their speed. Stops taking lines when `stop` says so.
void AnswerLines(std::istream& in, std::ostream& out, int concurrency,
                 const std::function<std::string(const std::string& line)>& answer,
                 const std::function<bool()>& stop);

}  // namespace conclave
