// The keys of a request as flags: each puts its value into a JSON object, so that both ways in are
// read by the same code.
#include <cstdint>
#include <fstream>
#include <sstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/limits.h"
#include "cli/generate_request.h"

namespace conclave {
namespace {

using nlohmann::json;

std::string KeyOf(const std::string& flag) {
  std::string key = flag.substr(flag.find_first_not_of('-'));
  for (char& c : key) c = c == '-' ? '_' : c;
  return key;
}

template <typename Value>
CLI::Option* Add(CLI::App& app, json& object, const std::string& flag, const char* type,
                 const std::string& help) {
  return app
      .add_option_function<Value>(
          flag, [&object, key = KeyOf(flag)](const Value& value) { object[key] = value; }, help)
      ->type_name(type);
}

void AddBool(CLI::App& app, json& object, const std::string& flag, const std::string& help) {
  app.add_flag_callback(
      flag, [&object, key = KeyOf(flag)] { object[key] = true; }, help);
}

// "17=-1.5,18=2"
void AddLogitBias(CLI::App& app, json& object) {
  app.add_option_function<std::string>(
         "--logit-bias",
         [&object](const std::string& text) {
           json pairs = json::array();
           for (const absl::string_view pair : absl::StrSplit(text, ',')) {
             const std::vector<absl::string_view> sides = absl::StrSplit(pair, '=');
             std::int32_t id = 0;
             double bias = 0;
             if (sides.size() != 2 || !absl::SimpleAtoi(sides[0], &id) ||
                 !absl::SimpleAtod(sides[1], &bias)) {
               throw CLI::ValidationError("--logit-bias", "expected ID=BIAS[,ID=BIAS...]");
             }
             pairs.push_back({id, bias});
           }
           object["logit_bias"] = std::move(pairs);
         },
         "added to the logits of these tokens")
      ->type_name("ID=BIAS,...");
}

}  // namespace

void AddSamplingFlags(CLI::App& app, json& object) {
  Add<std::int64_t>(app, object, "--max-tokens", "N", "end after so many tokens");
  Add<double>(app, object, "--temperature", "X", "0: always the likeliest token");
  Add<std::int64_t>(app, object, "--top-k", "K", "choose among the K likeliest; 0: all");
  Add<double>(app, object, "--top-p", "P", "choose among the likeliest that make up P in all");
  Add<double>(app, object, "--min-p", "P",
              "leave out what is less than P times as likely as the best");
  Add<double>(app, object, "--repetition-penalty", "X", "above 1: against all tokens seen");
  Add<double>(app, object, "--presence-penalty", "X", "-2 to 2: against tokens generated before");
  Add<double>(app, object, "--frequency-penalty", "X", "-2 to 2: the same, per occurrence");
  Add<std::uint64_t>(app, object, "--seed", "S", "the same seed gives the same answer");
  Add<std::int64_t>(app, object, "--min-tokens", "N", "do not stop before");
  Add<std::vector<std::string>>(app, object, "--stop", "TEXT",
                                "end before this text; may be repeated")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->expected(1);
  Add<std::vector<std::int64_t>>(app, object, "--stop-ids", "ID,...", "end at these tokens, too")
      ->delimiter(',');
  AddBool(app, object, "--ignore-eos", "go on after the model's own end");
  AddLogitBias(app, object);
}

void AddRequestFlags(CLI::App& app, json& object) {
  Add<std::string>(app, object, "--prompt-ids", "1,2,3|@FILE", "token ids in place of text");
  AddBool(app, object, "--chat", "wrap the text in the model's chat template");
  AddBool(app, object, "--enable-thinking", "with --chat: let the model think first");
  AddSamplingFlags(app, object);
  AddBool(app, object, "--include-stop-string", "keep the stop text at the end");
  Add<std::int64_t>(app, object, "--logprobs", "K",
                    "log-probability of each token, and of the K likeliest");
  Add<std::int64_t>(app, object, "--prompt-logprobs", "K", "the same for the prompt");
  AddBool(app, object, "--routed-experts", "which experts every position was routed to");
  AddBool(app, object, "--keep-special-tokens", "leave special tokens in the text");
  Add<std::string>(app, object, "--id", "NAME", "the request's id");
  Add<std::int64_t>(app, object, "--resume-after", "N",
                    "with the --id of before: what comes after the first N tokens of the answer");
}

absl::StatusOr<std::string> ReadSmallFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(absl::StrCat("cannot read ", path));
  std::ostringstream content;
  content << file.rdbuf();
  std::string text = content.str();
  if (text.size() > kRequestBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is larger than ", kRequestBytesMax));
  }
  return text;
}

}  // namespace conclave
