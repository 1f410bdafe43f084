// `conclave`: the embedded server, the client and the tools, one file per command.
#include <cstdio>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "cli/commands.h"
#include "cli/flags.h"
#include "cli/version.h"

namespace conclave {
namespace {

struct Command {
  std::string_view group;  // "model" of "model inspect"; empty: none
  std::string_view name;
  CommandFn run;
  std::string_view help;
};

constexpr Command kCommands[] = {
    {"", "serve", RunServe, "serve a model: coordinator and workers on this machine"},
    {"", "generate", RunGenerate, "complete a prompt, or a file of prompts"},
    {"", "chat", RunChat, "talk to a model"},
    {"", "tokenize", RunTokenize, "text to token ids and back, line by line"},
    {"", "render", RunRender, "chat messages to prompts, line by line"},
    {"", "status", RunStatus, "the cluster now"},
    {"", "top", RunTop, "the cluster, live"},
    {"", "drain", RunDrain, "move a worker's work to the others and end it"},
    {"", "rebalance", RunRebalance, "place experts anew by measured load"},
    {"", "flight-recorder", RunFlightRecorder, "what the processes decided last"},
    {"model", "inspect", RunModelInspect, "shapes, bytes, and what each worker would load"},
    {"model", "random", RunModelRandom, "make a model of random weights, for benchmarks"},
    {"model", "verify", RunModelVerify, "read every weight and check it"},
    {"bench", "engine", RunBenchEngine, "speed of prefill and decode, beside the machine's limits"},
    {"bench", "serve", RunBenchServe, "latency and throughput under load"},
    {"bench", "exchange", RunBenchExchange, "time of one all-to-all, beside plain copies"},
    {"bench", "coordinator", RunBenchCoordinator, "what the coordinator costs, without any model"},
};

std::string FullName(const Command& command) {
  std::string name(command.group);
  if (!name.empty()) name += ' ';
  return name.append(command.name);
}

std::string Help(std::string_view group) {
  std::string text =
      "Serve Mixture-of-Experts models from a cluster of ordinary machines.\n\n"
      "Usage: conclave COMMAND [flags]\n\nCommands:\n";
  for (const Command& command : kCommands) {
    if (!group.empty() && command.group != group) continue;
    std::string name = FullName(command);
    name.resize(18, ' ');
    text += "  " + name + std::string(command.help) + "\n";
  }
  return text +
         "\nEvery flag may also stand in the environment (--kv-memory: CONCLAVE_KV_MEMORY) or in "
         "a\n"
         "file given with --config. `conclave COMMAND --help` lists a command's flags;\n"
         "`conclave --version` says which build this is.\n";
}

int Run(int argc, const char* const* argv) {
  const std::string_view first = argc > 1 ? argv[1] : "";
  if (first == "--version") {
    std::cout << VersionText();
    return kExitDone;
  }
  if (first == "--help" || first == "-h" || first == "help") {
    std::cout << Help("");
    return kExitDone;
  }
  if (first.empty()) {
    std::cerr << Help("");
    return kExitUsage;
  }
  bool group = false;
  for (const Command& command : kCommands) {
    const int words = command.group.empty() ? 1 : 2;
    group = group || (words == 2 && command.group == first);
    const std::string_view last = argc > words ? argv[words] : "";
    if (command.name != last || (words == 2 && command.group != first)) continue;
    const std::string name = "conclave " + FullName(command);
    std::vector<const char*> arguments = {name.c_str()};
    arguments.insert(arguments.end(), argv + words + 1, argv + argc);
    return command.run(static_cast<int>(arguments.size()), arguments.data());
  }
  if (group && argc > 2 && std::string_view(argv[2]) == "--help") {
    std::cout << Help(first);
    return kExitDone;
  }
  std::string what = "'" + std::string(first) + "' is no command";
  if (group) what = "conclave " + std::string(first) + " needs one of its commands";
  SayError("conclave", what + " (conclave --help lists them)");
  return kExitUsage;
}

}  // namespace
}  // namespace conclave

int main(int argc, char** argv) { return conclave::Run(argc, argv); }
