// `conclave generate`: one completion to the terminal or as JSON, or a file of them.
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/flags.h"
#include "cli/generate_many.h"
#include "cli/generate_output.h"
#include "cli/generate_request.h"
#include "cli/interrupt.h"
#include "cli/target.h"

namespace conclave {
namespace {

struct GenerateFlags {
  TargetFlags target;
  std::string text;
  nlohmann::json request = nlohmann::json::object();
  std::string input;
  int concurrency = 16;
  Micros retry_for = kRetryForDefault;
  bool json = false;
  bool stats = false;
};

void AddFlags(CLI::App& app, GenerateFlags& flags) {
  app.add_option("text", flags.text, "the prompt")->type_name("TEXT");
  AddTargetFlags(app, flags.target);
  AddRequestFlags(app, flags.request);
  app.add_option("--input", flags.input,
                 "a file of requests, one JSON object per line (keys: the flags' names with "
                 "underscores, text, id); -: standard input")
      ->type_name("FILE");
  app.add_option("--concurrency", flags.concurrency, "requests of --input at one time")
      ->check(CLI::Range(1, kConcurrencyMax))
      ->type_name("C")
      ->capture_default_str();
  AddRetryFlag(app, flags.retry_for);
  app.add_flag("--json", flags.json, "print one JSON object, at the end");
  app.add_flag("--stats", flags.stats, "say on standard error how fast it was");
}

int GenerateOne(Client& client, const v1::GenerateRequest& request, const GenerateFlags& flags,
                const char* program) {
  Answer answer(request.output());
  const auto read = [&](const v1::GenerateResponse& part) {
    answer.Add(part);
    if (flags.json) return;
    std::fwrite(part.text().data(), 1, part.text().size(), stdout);
    std::fflush(stdout);
  };
  const grpc::Status status = Ask(client, request, flags.retry_for, read).status;
  if (flags.json) {
    std::cout << answer.Json(request.request_id(), status) << std::endl;
  } else if (answer.text().empty() && answer.tokens() > 0) {
    // No tokenizer (or nothing but special tokens): ids are the answer.
    std::cout << absl::StrJoin(answer.whole().token_ids(), ",") << std::endl;
  } else if (answer.tokens() > 0) {
    std::cout << std::endl;
  }
  if (Interrupts() > 0) return kExitInterrupted;
  if (!status.ok()) {
    SayError(program, ErrorLine(status));
    return kExitFailed;
  }
  if (flags.stats) std::fprintf(stderr, "%s\n", StatsLine(answer.whole()).c_str());
  return kExitDone;
}

absl::StatusOr<v1::GenerateRequest> TheRequest(GenerateFlags& flags, bool has_text) {
  if (has_text) flags.request["text"] = flags.text;
  return RequestFromJson(flags.request, ReadSmallFile);
}

}  // namespace

int RunGenerate(int argc, const char* const* argv) {
  CLI::App app("Completes a prompt. With --model it starts what it needs, answers and stops it.",
               argv[0]);
  GenerateFlags flags;
  AddFlags(app, flags);
  if (const auto code = ParseFlags(app, argc, argv)) return *code;
  const bool many = !flags.input.empty();
  const bool has_text = app.get_option("text")->count() > 0;
  v1::GenerateRequest request;
  if (!many) {
    auto one = TheRequest(flags, has_text);
    if (!one.ok()) return Fail(argv[0], one.status());
    request = *std::move(one);
  } else if (has_text || !flags.request.empty()) {
    SayError(argv[0], "with --input, every line says all about its request; leave out the rest");
    return kExitUsage;
  }

  WatchInterrupts();
  auto target = OpenTarget(flags.target);
  if (absl::IsCancelled(target.status())) return kExitInterrupted;
  if (!target.ok()) return Fail(argv[0], target.status());
  const OnInterrupt cancel([&] { target->client->CancelRunning(); });
  if (!many) return GenerateOne(*target->client, request, flags, argv[0]);
  return GenerateMany(
      *target->client,
      {.path = flags.input, .concurrency = flags.concurrency, .retry_for = flags.retry_for},
      argv[0]);
}

}  // namespace conclave
