// `conclave render`: chat messages to prompts, with a model's template or one from a file.
#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/flags.h"
#include "cli/generate_request.h"
#include "cli/lines.h"
#include "text/jsonl.h"

namespace conclave {

int RunRender(int argc, const char* const* argv) {
  CLI::App app(
      "Renders lines {\"messages\": [...], \"tools\": [...], \"add_generation_prompt\": bool, "
      "\"special_tokens\": {...}, any other variable} into {\"prompt\": ...} or {\"error\": ...}.",
      argv[0]);
  std::string model;
  std::string path;
  std::string input = "-";
  app.add_option("--model", model, "directory whose chat template is used")->type_name("DIR");
  app.add_option("--template", path, "a Jinja file in place of a model's")->type_name("FILE");
  app.add_option("--input", input, "lines of JSON; -: standard input")
      ->type_name("FILE")
      ->capture_default_str();
  app.add_flag("--json")->description("what comes out anyway: a JSON object per line");
  if (const auto code = ParseFlags(app, argc, argv)) return *code;
  if (model.empty() == path.empty()) {
    SayError(argv[0], "give one of --model DIR and --template FILE");
    return kExitUsage;
  }
  absl::Status done;
  if (!model.empty()) {
    const auto text = LoadText(model);
    if (!text.ok()) return Fail(argv[0], text.status());
    done = MapLines(input, [&](const std::string& line) { return RenderLine(**text, line); });
  } else {
    const auto source = ReadSmallFile(path);
    if (!source.ok()) return Fail(argv[0], source.status());
    done = MapLines(input, [&](const std::string& line) {
      return RenderLine(std::string_view(*source), line);
    });
  }
  return done.ok() ? kExitDone : Fail(argv[0], done);
}

}  // namespace conclave
