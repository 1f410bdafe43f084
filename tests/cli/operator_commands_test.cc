// Operators' commands against real processes: drain, rebalance, last words.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "tests/cli/run.h"
#include "tests/support/files.h"

namespace conclave {
namespace {

using nlohmann::json;
using testing::HasSubstr;

RunResult Ask(const Server& server, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "conclave");
  arguments.insert(arguments.end(), {"--admin", server.admin()});
  return RunProgram({.arguments = std::move(arguments), .input = "", .environment = {}});
}

void ExpectOneLine(const RunResult& result, int code, const std::string& about) {
  EXPECT_EQ(result.code, code) << result.err;
  EXPECT_EQ(std::ranges::count(result.err, '\n'), 1) << result.err;
  EXPECT_THAT(result.err, HasSubstr(about));
  EXPECT_EQ(result.out, "");
}

std::vector<std::string> Flags(const std::string& workers) {
  return {"--model", ModelDir(),    "--workers", workers,       "--threads",
          "1",       "--kv-memory", "32MiB",     "--log-level", "error"};
}

// The file that a signal makes is there when it has its last line.
std::string AwaitDump(const TempDir& dir) {
  while (true) {
    for (const auto& entry : std::filesystem::directory_iterator(dir.path())) {
      std::string text = ReadFile(entry.path().string());
      if (text.find("ready to serve") != std::string::npos) return text;
    }
    std::this_thread::yield();
  }
}

TEST(Operator, DrainsOneOfTwo) {
  Server server(Flags("2"));
  const json before = json::parse(Ask(server, {"status", "--json"}).out);
  ASSERT_EQ(before["workers"].size(), 2u);
  ExpectOneLine(Ask(server, {"drain", "7"}), 1, "7");
  const RunResult drained = Ask(server, {"drain", "1", "--json"});
  ASSERT_EQ(drained.code, 0) << drained.err;
  const json object = json::parse(drained.out);
  EXPECT_EQ(object["worker"], before["workers"][1]["uuid"]);
  EXPECT_EQ(object["gone"], true);
  const json after = json::parse(Ask(server, {"status", "--json"}).out);
  ASSERT_EQ(after["workers"].size(), 1u);
  EXPECT_EQ(after["ready"], true);
  EXPECT_EQ(after["last_epoch_change"]["kind"], "leave");
  ExpectOneLine(Ask(server, {"drain", "0"}), 1, "0");
  EXPECT_EQ(server.Stop(), 0);
}

TEST(Operator, ReadsLastWordsOfAll) {
  const TempDir dir;
  std::vector<std::string> flags = Flags("2");
  flags.insert(flags.end(), {"--flight-recorder-dir", dir.path()});
  Server server(flags);
  const RunResult text = Ask(server, {"flight-recorder"});
  ASSERT_EQ(text.code, 0) << text.err;
  for (const char* part : {"  coordinator  ready to serve", "  worker 0     welcome as slot 0",
                           "  worker 1     told to commit epoch "}) {
    EXPECT_THAT(text.out, HasSubstr(part));
  }
  const RunResult one = Ask(server, {"flight-recorder", "--worker", "1", "--json"});
  ASSERT_EQ(one.code, 0) << one.err;
  EXPECT_EQ(json::parse(one.out.substr(0, one.out.find('\n')))["process"], "worker 1");
  ExpectOneLine(Ask(server, {"flight-recorder", "--worker", "9"}), 1, "no worker '9'");
  ExpectOneLine(Ask(server, {"rebalance"}), 1, "conclave rebalance: ");

  ASSERT_EQ(kill(server.pid(), SIGUSR1), 0);
  EXPECT_THAT(AwaitDump(dir), HasSubstr("# flight recorder of coordinator: asked for"));
  EXPECT_EQ(Ask(server, {"status"}).code, 0) << "life goes on";
}

TEST(Operator, AWorkerThatIsRefusedLeavesItsLastWords) {
  Server server(Flags("1"));
  const TempDir dir;
  const auto run = [&](const std::string& directory) {
    return RunProgram(
        {.arguments = {"conclave-worker", "--coordinator", server.listen(), "--model", ModelDir(),
                       "--threads", "1", "--kv-memory", "32MiB", "--kv-dtype", "f32", "--log-level",
                       "error", "--flight-recorder-dir", directory},
         .input = "",
         .environment = {}});
  };
  ExpectOneLine(run("/nowhere"), 2, "--flight-recorder-dir /nowhere");
  ExpectOneLine(run(dir.path()), 1, "f32");
  const std::filesystem::directory_iterator files(dir.path());
  ASSERT_NE(files, std::filesystem::directory_iterator());
  const std::string text = ReadFile(files->path().string());
  EXPECT_THAT(text, HasSubstr("# flight recorder of worker: "));
  EXPECT_THAT(text, HasSubstr("goodbye, refused: "));
  // It left no trace among those who serve.
  const json after = json::parse(Ask(server, {"status", "--json"}).out);
  EXPECT_EQ(after["workers"].size(), 1u);
  EXPECT_EQ(after["ready"], true);
}

TEST(Operator, WithoutAClusterAnErrorIsOneLine) {
  for (const char* command : {"drain", "rebalance", "flight-recorder"}) {
    std::vector<std::string> arguments = {"conclave", command, "--admin", "127.0.0.1:1"};
    if (command == std::string("drain")) arguments.emplace_back("0");
    const RunResult result =
        RunProgram({.arguments = std::move(arguments), .input = "", .environment = {}});
    ExpectOneLine(result, 1, "--admin");
  }
}

}  // namespace
}  // namespace conclave
