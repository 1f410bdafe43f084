// `conclave bench exchange`: how long one all-to-all takes, beside plain copies.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/exchange_bench.h"
#include "cli/commands.h"
#include "cli/flags.h"
#include "exchange/backends.h"

namespace conclave {
namespace {

nlohmann::ordered_json ResultJson(const ExchangeBenchAsk& ask, const ExchangeBenchResult& result) {
  nlohmann::ordered_json object = {{"exchange", ask.backend},
                                   {"participants", ask.participants},
                                   {"repeats", ask.repeats},
                                   {"copy_gbps", result.copy_gbps},
                                   {"sizes", nlohmann::ordered_json::array()}};
  for (const ExchangeBenchRow& row : result.rows) {
    object["sizes"].push_back({{"bytes", row.bytes},
                               {"median_us", row.median_us},
                               {"p99_us", row.p99_us},
                               {"gbps", row.gbps},
                               {"copy_floor_us", row.copy_floor_us},
                               {"copy_fraction", row.copy_fraction}});
  }
  return object;
}

}  // namespace

int RunBenchExchange(int argc, const char* const* argv) {
  CLI::App app("Times one all-to-all among participants on this machine, beside plain copies.",
               argv[0]);
  ExchangeBenchAsk ask;
  ask.backend = ExchangeBackendsHere().back();
  std::vector<std::string> sizes = {"64", "4KiB", "64KiB", "1MiB"};
  app.add_flag("--json")->description("what a bench prints anyway: one JSON object");
  AddChoice(app, "--exchange", ask.backend, ExchangeBackendsHere(), "back-end");
  app.add_option("--ucx-transports", ask.transports, "such as tcp; default: UCX's choice")
      ->type_name("LIST");
  app.add_option("--participants", ask.participants, "processes (local: threads)")
      ->check(CLI::Range(1, 128))
      ->capture_default_str();
  app.add_option("--sizes", sizes, "bytes to each peer")
      ->delimiter(',')
      ->type_name("SIZE,...")
      ->capture_default_str();
  app.add_option("--repeats", ask.repeats, "timed exchanges per size")
      ->check(CLI::Range(1, 10'000'000))
      ->capture_default_str();
  if (const auto code = ParseFlags(app, argc, argv)) return *code;
  for (const std::string& size : sizes) {
    const auto bytes = ParseSize(size);
    if (!bytes.ok()) return Fail(argv[0], bytes.status());
    ask.sizes.push_back(static_cast<std::size_t>(*bytes));
  }
  const auto result = RunExchangeBench(ask);
  if (!result.ok()) return Fail(argv[0], result.status());
  std::cout << ResultJson(ask, *result).dump() << std::endl;
  return kExitDone;
}

}  // namespace conclave
