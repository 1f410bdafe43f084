// Which build this is.
#pragma once

#include <string>

namespace conclave {

std::string BuildVersion();  // "0.1.0"
std::string BuildCommit();   // short hash, "-dirty" appended; "unknown" outside of git
// Several lines for --version: commit, build options, kernel sets and exchange back-ends here.
std::string VersionText();

}  // namespace conclave
