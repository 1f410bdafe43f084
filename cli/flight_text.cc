#include "cli/flight_text.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"

namespace conclave {
namespace {

using Json = nlohmann::ordered_json;

struct Line {
  absl::string_view time;  // sorts as text
  absl::string_view since_start;
  absl::string_view message;
  const std::string* process;
};

// "TIME +SECONDS MESSAGE"; what is not like that is a message without times.
Line LineOf(absl::string_view text, const std::string& process) {
  const std::vector<absl::string_view> words = absl::StrSplit(text, absl::MaxSplits(' ', 2));
  if (words.size() < 3 || words[1].substr(0, 1) != "+") return {"", "0", text, &process};
  return {words[0], words[1].substr(1), words[2], &process};
}

std::vector<Line> LinesOf(const v1::GetFlightRecorderResponse& response) {
  std::vector<Line> lines;
  for (const v1::ProcessRecord& process : response.processes()) {
    for (const absl::string_view text : absl::StrSplit(process.text(), '\n', absl::SkipEmpty())) {
      lines.push_back(LineOf(text, process.process()));
    }
  }
  std::ranges::stable_sort(lines, {}, &Line::time);
  return lines;
}

std::string Dump(const Json& object) {
  return object.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

std::string FlightText(const v1::GetFlightRecorderResponse& response) {
  std::string text;
  for (const Line& line : LinesOf(response)) {
    absl::StrAppendFormat(&text, "%s  %-11s  %s\n", line.time, *line.process, line.message);
  }
  return text;
}

std::string FlightJson(const v1::GetFlightRecorderResponse& response) {
  std::string text;
  for (const Line& line : LinesOf(response)) {
    double since_start = 0;
    static_cast<void>(absl::SimpleAtod(line.since_start, &since_start));
    text += Dump({{"time", std::string(line.time)},
                  {"process", *line.process},
                  {"since_start_s", since_start},
                  {"message", std::string(line.message)}});
  }
  for (const v1::ProcessRecord& process : response.processes()) {
    if (process.error().empty()) continue;
    text += Dump({{"process", process.process()}, {"error", process.error()}});
  }
  return text;
}

}  // namespace conclave
