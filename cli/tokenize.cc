// `conclave tokenize`: text to ids and back, with nothing but the tokenizer's files.
#include <string>

#include "cli/commands.h"
#include "cli/flags.h"
#include "cli/lines.h"
#include "text/jsonl.h"

namespace conclave {

int RunTokenize(int argc, const char* const* argv) {
  CLI::App app(
      "Tokenizes lines {\"text\": ..., \"special\": bool} into {\"ids\": [...], \"decoded\": ..., "
      "\"decoded_without_special\": ...}.",
      argv[0]);
  std::string model;
  std::string input = "-";
  app.add_option("--model", model, "directory with tokenizer.json")->required()->type_name("DIR");
  app.add_option("--input", input, "lines of JSON; -: standard input")
      ->type_name("FILE")
      ->capture_default_str();
  app.add_flag("--json")->description("what comes out anyway: a JSON object per line");
  if (const auto code = ParseFlags(app, argc, argv)) return *code;
  const auto text = LoadText(model);
  if (!text.ok()) return Fail(argv[0], text.status());
  const absl::Status done =
      MapLines(input, [&](const std::string& line) { return TokenizeLine(**text, line); });
  return done.ok() ? kExitDone : Fail(argv[0], done);
}

}  // namespace conclave
