// A file of lines through a function, to standard output.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"

namespace conclave {

// `path` "-" is standard input; blank lines are passed over. NotFound names the path.
absl::Status MapLines(const std::string& path,
                      const std::function<std::string(const std::string& line)>& answer);

}  // namespace conclave
