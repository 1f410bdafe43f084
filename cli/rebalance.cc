// `conclave rebalance`: places experts anew by measured load.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/admin_client.h"
#include "cli/commands.h"
#include "cli/flags.h"

namespace conclave {

int RunRebalance(int argc, const char* const* argv) {
  CLI::App app(
      "Moves experts between workers so that the most loaded one has less to do, if that pays. "
      "Streams go on.",
      argv[0]);
  std::string admin;
  bool json = false;
  AddAdminFlag(app, admin);
  app.add_flag("--json", json, "print one JSON object");
  if (const auto code = ParseFlags(app, argc, argv)) return *code;
  const auto channel = ConnectAdmin(admin);
  if (!channel.ok()) return Fail(argv[0], channel.status());
  const auto text = Rebalance(*channel);
  if (!text.ok()) return Fail(argv[0], text.status());
  std::cout << (json ? nlohmann::ordered_json{{"text", *text}}.dump() : *text) << std::endl;
  return kExitDone;
}

}  // namespace conclave
