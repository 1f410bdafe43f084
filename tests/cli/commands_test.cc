// The real programs, as a user runs them: answers, order of answers, exit codes, one-line errors.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/cli/run.h"
#include "tests/support/files.h"

namespace conclave {
namespace {

using nlohmann::json;
using testing::AnyOf;
using testing::HasSubstr;
using testing::StartsWith;

RunResult Conclave(std::vector<std::string> arguments, std::string input = "",
                   std::vector<std::string> environment = {}) {
  arguments.insert(arguments.begin(), "conclave");
  return RunProgram({.arguments = std::move(arguments),
                     .input = std::move(input),
                     .environment = std::move(environment)});
}

std::vector<json> Lines(const std::string& text) {
  std::vector<json> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    lines.push_back(json::parse(text.substr(at, end - at)));
    at = end + 1;
  }
  return lines;
}

// One line on standard error and nothing on standard output.
void ExpectOneLine(const RunResult& result, int code, const std::string& about) {
  EXPECT_EQ(result.code, code) << result.err;
  EXPECT_EQ(std::ranges::count(result.err, '\n'), 1) << result.err;
  EXPECT_THAT(result.err, HasSubstr(about));
  EXPECT_EQ(result.out, "");
}

class Serving : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    server_ = new Server(
        {"--model", ModelDir(), "--threads", "1", "--kv-memory", "16MiB", "--log-level", "error"});
  }
  static void TearDownTestSuite() {
    EXPECT_EQ(server_->Stop(), 0);
    delete server_;
  }
  static RunResult Generate(std::vector<std::string> flags, std::string input = "") {
    flags.insert(flags.begin(), {"generate", "--target", server_->listen()});
    return Conclave(std::move(flags), std::move(input));
  }
  static json GenerateJson(std::vector<std::string> flags) {
    flags.emplace_back("--json");
    const RunResult result = Generate(std::move(flags));
    EXPECT_EQ(result.code, 0) << result.err;
    return json::parse(result.out);
  }
  static Server* server_;
};
Server* Serving::server_ = nullptr;

TEST_F(Serving, GenerateWritesText) {
  const RunResult result =
      Generate({"--chat", "--seed", "3", "--max-tokens", "12", "--stats", "Tell me a tale."});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_GT(result.out.size(), 10U);
  EXPECT_EQ(result.out.back(), '\n');
  EXPECT_THAT(result.err, HasSubstr("tokens at"));
}

TEST_F(Serving, JsonHasTheContractsKeys) {
  const json object =
      GenerateJson({"--chat", "--seed", "3", "--max-tokens", "6", "--logprobs", "2",
                    "--prompt-logprobs", "1", "--routed-experts", "--id", "me", "A tale, please."});
  EXPECT_EQ(object["id"], "me");
  EXPECT_EQ(object["token_ids"].size(), 6U);
  EXPECT_EQ(object["finish_reason"], "length");
  EXPECT_EQ(object["logprobs"].size(), 6U);
  EXPECT_EQ(object["logprobs"][0]["top"].size(), 2U);
  const std::size_t prompt = object["usage"]["prompt_tokens"];
  EXPECT_EQ(object["prompt_logprobs"].size(), prompt);
  EXPECT_TRUE(object["prompt_logprobs"][0].is_null());
  EXPECT_EQ(object["routed_experts"]["k"], 8);
  // Every position fed to the model: all but the last sampled token.
  EXPECT_EQ(object["routed_experts"]["tokens"], prompt + 5);
  for (const char* key :
       {"queue_ms", "ttft_ms", "inter_token_ms_p50", "inter_token_ms_max", "total_ms"}) {
    EXPECT_TRUE(object["timing"].contains(key)) << key;
  }
  EXPECT_EQ(object["usage"]["completion_tokens"], 6);
}

TEST_F(Serving, TextAndIdsAreTheSamePrompt) {
  const RunResult tokens =
      Conclave({"tokenize", "--json", "--model", ModelDir()}, R"({"text": "Once upon"})");
  ASSERT_EQ(tokens.code, 0) << tokens.err;
  std::string ids = json::parse(tokens.out)["ids"].dump();
  const json text = GenerateJson({"--temperature", "0", "--max-tokens", "8", "Once upon"});
  const json same = GenerateJson({"--temperature", "0", "--max-tokens", "8", "--prompt-ids", ids});
  EXPECT_EQ(text["token_ids"], same["token_ids"]);
  const TempDir dir;
  WriteFile(dir / "ids", ids);
  const json file = GenerateJson(
      {"--temperature", "0", "--max-tokens", "8", "--prompt-ids", "@" + (dir / "ids")});
  EXPECT_EQ(text["token_ids"], file["token_ids"]);
}

TEST_F(Serving, ManyComeBackInOrder) {
  std::string input;
  for (int i = 0; i < 24; ++i) {
    // Long ones first, so that later ones are done earlier.
    input += json{{"id", "q" + std::to_string(i)},
                  {"text", "Tale " + std::to_string(i)},
                  {"max_tokens", 24 - i},
                  {"ignore_eos", true},
                  {"seed", i}}
                 .dump() +
             "\n";
  }
  input += "{\"text\": \"x\", \"top_kk\": 1}\n{\"text\": \"x\", \"top_p\": 7}\nnonsense\n";
  const RunResult result = Generate({"--input", "-", "--concurrency", "8"}, input);
  EXPECT_EQ(result.code, 1);  // the last three failed
  const std::vector<json> lines = Lines(result.out);
  ASSERT_EQ(lines.size(), 27U);
  for (std::size_t i = 0; i < 24; ++i) {
    EXPECT_EQ(lines[i]["id"], "q" + std::to_string(i));
    EXPECT_EQ(lines[i]["token_ids"].size(), 24 - i);
  }
  EXPECT_THAT(lines[24]["error"]["message"].get<std::string>(), HasSubstr("not a key"));
  EXPECT_EQ(lines[24]["error"]["field"], "top_kk");
  EXPECT_EQ(lines[25]["error"]["field"], "sampling.top_p");
  EXPECT_EQ(lines[25]["error"]["code"], "INVALID_ARGUMENT");
  EXPECT_EQ(lines[26]["error"]["code"], "INVALID_ARGUMENT");
  // Alone and in company: the same.
  const json alone = GenerateJson({"--max-tokens", "20", "--ignore-eos", "--seed", "4", "Tale 4"});
  EXPECT_EQ(alone["token_ids"], lines[4]["token_ids"]);
}

TEST_F(Serving, BadValuesNameTheField) {
  ExpectOneLine(Generate({"--top-p", "7", "x"}), 1, "sampling.top_p");
  ExpectOneLine(Generate({"--temperature", "nan", "x"}), 1, "sampling.temperature");
  ExpectOneLine(Generate({"--prompt-ids", "99999999"}), 1, "token");
  const RunResult json_error = Generate({"--top-p", "7", "--json", "x"});
  EXPECT_EQ(json_error.code, 1);
  EXPECT_EQ(json::parse(json_error.out)["error"]["field"], "sampling.top_p");
}

TEST_F(Serving, StatusShowsTheCluster) {
  const RunResult result = Conclave({"status", "--admin", server_->admin(), "--json", "--experts"});
  ASSERT_EQ(result.code, 0) << result.err;
  const json object = json::parse(result.out);
  EXPECT_EQ(object["ready"], true);
  EXPECT_EQ(object["model"]["experts"], 128);
  EXPECT_EQ(object["workers"][0]["experts"], 4 * 128);
  EXPECT_EQ(object["workers"][0]["layers"][0]["ids"].size(), 128U);
  const RunResult table = Conclave({"status"}, "", {"CONCLAVE_ADMIN=" + server_->admin()});
  EXPECT_EQ(table.code, 0) << table.err;
  EXPECT_THAT(table.out, HasSubstr("tales-128e  ready"));
  EXPECT_EQ(Conclave({"top", "--admin", server_->admin()}).code, 0);
}

TEST_F(Serving, ChatFromAPipe) {
  const RunResult result =
      Conclave({"chat", "--target", server_->listen(), "--max-tokens", "8", "--seed", "1"},
               "/help\nTell me of a fox.\n/stats\nAnd a king?\n/quit\nnever asked\n");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(std::ranges::count(result.out, '\n') >= 2, true) << result.out;
  EXPECT_THAT(result.err, HasSubstr("/think"));
  EXPECT_THAT(result.err, HasSubstr("tokens at"));
}

TEST_F(Serving, BenchServeCountsWhatItSent) {
  const RunResult result =
      Conclave({"bench", "serve", "--target", server_->listen(), "--requests", "12",
                "--concurrency", "4", "--prompt", "16", "--generate", "5"});
  ASSERT_EQ(result.code, 0) << result.err << result.out;
  const json object = json::parse(result.out);
  EXPECT_EQ(object["requests"], 12);
  EXPECT_EQ(object["failed"], 0);
  EXPECT_GT(object["output_tokens_per_second"], 0);
  EXPECT_GE(object["ttft_ms"]["p99"], object["ttft_ms"]["p50"]);
  EXPECT_GE(object["inter_token_ms"]["max"], object["inter_token_ms"]["p50"]);
}

TEST_F(Serving, PortsInUseAreSaid) {
  const RunResult result = Conclave({"serve", "--model", ModelDir(), "--log-level", "error",
                                     "--listen", server_->listen(), "--admin", "127.0.0.1:0"});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, HasSubstr("--listen"));
}

TEST(Commands, WorkerProcessesGiveTheSameTokens) {
  const std::vector<std::string> ask = {"--temperature",   "0",      "--max-tokens", "24",
                                        "--ignore-eos",    "--json", "--kv-memory",  "16MiB",
                                        "Once upon a time"};
  std::vector<std::string> one = {"generate", "--model", ModelDir(), "--threads", "1"};
  std::vector<std::string> three = {"generate", "--model", ModelDir(), "--workers", "3"};
  one.insert(one.end(), ask.begin(), ask.end());
  three.insert(three.end(), ask.begin(), ask.end());
  const RunResult alone = Conclave(one);
  ASSERT_EQ(alone.code, 0) << alone.err;
  const RunResult together = Conclave(three);
  ASSERT_EQ(together.code, 0) << together.err;
  EXPECT_EQ(json::parse(alone.out)["token_ids"], json::parse(together.out)["token_ids"]);
  EXPECT_EQ(json::parse(alone.out)["token_ids"].size(), 24U);
}

TEST(Commands, MistakesAreOneLine) {
  ExpectOneLine(Conclave({"generate", "--no-such-flag", "x"}), 2, "--no-such-flag");
  ExpectOneLine(Conclave({"generate", "--target", "127.0.0.1:1"}), 2, "prompt");
  ExpectOneLine(Conclave({"nonsense"}), 2, "nonsense");
  ExpectOneLine(Conclave({"model"}), 2, "model");
  ExpectOneLine(Conclave({"serve"}), 2, "--model");
  ExpectOneLine(Conclave({"serve", "--model", "/nowhere"}, "", {"CONCLAVE_LOG_LEVEL=error"}), 1,
                "/nowhere");
  ExpectOneLine(Conclave({"tokenize", "--model", "/nowhere"}), 1, "/nowhere");
  ExpectOneLine(Conclave({"serve", "--model", ModelDir()}, "", {"CONCLAVE_KV_MEMORY=much"}), 2,
                "much");
  ExpectOneLine(Conclave({"model", "random", "--shape", "tiny"}), 2, "--out");
}

TEST(Commands, AnUnreachableTargetSaysWhatToDo) {
  ExpectOneLine(Conclave({"generate", "--target", "127.0.0.1:1", "x"}), 1, "conclave serve");
}

TEST(Commands, ConfigFilesAreReadAndChecked) {
  const TempDir dir;
  WriteFile(dir / "good", "model = \"" + ModelDir() + "\"\n");
  const RunResult good = Conclave({"tokenize", "--config", dir / "good"}, "{\"text\": \"a\"}\n");
  EXPECT_EQ(good.code, 0) << good.err;
  WriteFile(dir / "bad", "modle = \"x\"\n");
  ExpectOneLine(Conclave({"tokenize", "--config", dir / "bad"}), 2, "modle");
}

TEST(Commands, VersionAndHelp) {
  const RunResult version = Conclave({"--version"});
  EXPECT_EQ(version.code, 0);
  for (const char* word : {"commit:", "build:", "kernel sets", "exchange"}) {
    EXPECT_THAT(version.out, HasSubstr(word));
  }
  const RunResult help = Conclave({"--help"});
  for (const char* word : {"serve", "generate", "chat", "tokenize", "render", "status", "top",
                           "model inspect", "bench engine", "bench serve", "bench exchange"}) {
    EXPECT_THAT(help.out, HasSubstr(word));
  }
  for (const std::string command : {"serve", "generate", "chat", "tokenize", "render", "status"}) {
    const RunResult result = Conclave({command, "--help"});
    EXPECT_EQ(result.code, 0) << command;
    EXPECT_THAT(result.out, HasSubstr("--config")) << command;
    EXPECT_THAT(result.out, HasSubstr("CONCLAVE_")) << command;
  }
}

TEST(Commands, RenderWithModelAndTemplate) {
  const std::string line = R"({"messages": [{"role": "user", "content": "hi"}]})";
  const RunResult model = Conclave({"render", "--json", "--model", ModelDir()}, line);
  ASSERT_EQ(model.code, 0) << model.err;
  EXPECT_THAT(json::parse(model.out)["prompt"].get<std::string>(), HasSubstr("<|im_start|>user"));
  const TempDir dir;
  WriteFile(dir / "t.jinja", "{{ messages[0].content }}!");
  const RunResult file = Conclave({"render", "--template", dir / "t.jinja"}, line + "\n{}\n");
  ASSERT_EQ(file.code, 0) << file.err;
  const std::vector<json> lines = Lines(file.out);
  EXPECT_EQ(lines[0]["prompt"], "hi!");
  EXPECT_TRUE(lines[1].contains("error"));
}

TEST(Commands, ModelsAreMadeLookedAtAndChecked) {
  const TempDir dir;
  const std::string out = dir / "m";
  const RunResult made = Conclave({"model", "random", "--shape", "tiny", "--out", out});
  ASSERT_EQ(made.code, 0) << made.err;
  const RunResult good = Conclave({"model", "verify", out});
  EXPECT_EQ(good.code, 0) << good.err;
  EXPECT_THAT(good.out, HasSubstr("good"));
  const RunResult seen = Conclave({"model", "inspect", out, "--workers", "3", "--json"});
  ASSERT_EQ(seen.code, 0) << seen.err;
  EXPECT_EQ(json::parse(seen.out)["workers"].size(), 3U);
  EXPECT_THAT(Conclave({"model", "inspect", out}).out, HasSubstr("experts"));
  ExpectOneLine(Conclave({"model", "random", "--shape", "tiny", "--out", out}), 1, out);

  const RunResult bench =
      Conclave({"bench",      "engine", "--model",  out, "--threads",    "1", "--prompt",   "40",
                "--generate", "6",      "--batch",  "3", "--workers",    "2", "--exchange", "local",
                "--depth",    "64",     "--repeat", "2", "--measure-ms", "40"});
  ASSERT_EQ(bench.code, 0) << bench.err;
  const json object = json::parse(bench.out);
  for (const char* key : {"read_gbps", "int8_gops", "bf16_gflops", "fp32_gflops"}) {
    EXPECT_TRUE(object["machine"].contains(key)) << key;
  }
  for (const char* key : {"tokens_per_second", "ops_per_token", "peak_fraction"}) {
    EXPECT_GT(object["prefill"][key], 0) << key;
  }
  for (const char* key : {"tokens_per_second", "bytes_per_step", "bandwidth_fraction",
                          "peak_fraction", "bound_fraction"}) {
    EXPECT_GT(object["decode"][key], 0) << key;
  }
  EXPECT_EQ(object["runs"].size(), 2U);
  EXPECT_GT(object["rss_bytes"], 0);
  EXPECT_GT(object["weights_bytes"], 0);
  EXPECT_GT(object["kv_bytes"], 0);
  for (const char* key : {"name", "us", "bytes", "ops"}) {
    EXPECT_TRUE(object["phases"][0].contains(key)) << key;
  }
}

TEST(Commands, BenchExchangePrintsEverySize) {
  const RunResult result = Conclave({"bench", "exchange", "--exchange", "local", "--participants",
                                     "2", "--sizes", "64,4KiB", "--repeats", "20"});
  ASSERT_EQ(result.code, 0) << result.err;
  const json object = json::parse(result.out);
  ASSERT_EQ(object["sizes"].size(), 2U);
  EXPECT_EQ(object["sizes"][1]["bytes"], 4096);
  EXPECT_GT(object["sizes"][1]["median_us"], 0);
}

}  // namespace
}  // namespace conclave
