#include "cli/lines.h"

#include <fstream>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "cli/interrupt.h"

namespace conclave {

absl::Status MapLines(const std::string& path,
                      const std::function<std::string(const std::string& line)>& answer) {
  std::ifstream file;
  if (path != "-") {
    file.open(path, std::ios::binary);
    if (!file) return absl::NotFoundError(absl::StrCat("cannot read ", path, " (--input)"));
  }
  std::istream& in = path == "-" ? std::cin : file;
  std::string line;
  while (Interrupts() == 0 && std::getline(in, line)) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    std::cout << answer(line) << '\n';
  }
  std::cout.flush();
  return absl::OkStatus();
}

}  // namespace conclave
