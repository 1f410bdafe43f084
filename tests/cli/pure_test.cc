// The commands' pure parts: flags, loads, plans, tables, conversations, lines in order.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "cli/bench_plan.h"
#include "cli/chat_session.h"
#include "cli/cluster.h"
#include "cli/flags.h"
#include "cli/generate_many.h"
#include "cli/load.h"
#include "cli/progress.h"
#include "cli/status_text.h"
#include "tests/support/files.h"

namespace conclave {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

TEST(Flags, SizesAndDurations) {
  EXPECT_EQ(*ParseSize("4096"), 4096U);
  EXPECT_EQ(*ParseSize("64KiB"), 65536U);
  EXPECT_EQ(*ParseSize("1.5 GiB"), 1610612736U);
  EXPECT_EQ(*ParseDuration("250ms"), 250'000);
  EXPECT_EQ(*ParseDuration("1.5s"), 1'500'000);
  EXPECT_EQ(*ParseDuration("10m"), 600'000'000);
  for (const char* bad : {"", "x", "-1GiB", "4GB", "1e400GiB", "GiB"}) {
    EXPECT_FALSE(ParseSize(bad).ok()) << bad;
  }
  for (const char* bad : {"", "5h", "-1s", "ms"}) EXPECT_FALSE(ParseDuration(bad).ok()) << bad;
  EXPECT_EQ(EnvironmentName("--kv-memory"), "CONCLAVE_KV_MEMORY");
}

int ParseThreads(std::vector<const char*> arguments, int& threads) {
  CLI::App app("", "test");
  app.add_option("--threads", threads, "");
  arguments.insert(arguments.begin(), "test");
  return ParseFlags(app, static_cast<int>(arguments.size()), arguments.data()).value_or(-1);
}

TEST(Flags, TheLineBeatsTheEnvironmentBeatsTheFile) {
  const TempDir dir;
  WriteFile(dir / "flags", "threads = 3\n");
  const std::string config = dir / "flags";
  int threads = 0;
  EXPECT_EQ(ParseThreads({"--config", config.c_str()}, threads), -1);
  EXPECT_EQ(threads, 3);
  setenv("CONCLAVE_THREADS", "5", 1);
  EXPECT_EQ(ParseThreads({"--config", config.c_str()}, threads), -1);
  EXPECT_EQ(threads, 5);
  EXPECT_EQ(ParseThreads({"--config", config.c_str(), "--threads", "7"}, threads), -1);
  EXPECT_EQ(threads, 7);
  unsetenv("CONCLAVE_THREADS");
  WriteFile(dir / "flags", "threds = 3\n");
  EXPECT_EQ(ParseThreads({"--config", config.c_str()}, threads), kExitUsage);
  EXPECT_EQ(ParseThreads({"--threads", "many"}, threads), kExitUsage);
}

TEST(Cluster, ThreadsAreDivided) {
  EXPECT_EQ(ThreadsOfWorker(5, 2, 3, 0), 2);
  EXPECT_EQ(ThreadsOfWorker(5, 2, 3, 1), 2);
  EXPECT_EQ(ThreadsOfWorker(5, 2, 3, 2), 1);
  EXPECT_EQ(ThreadsOfWorker(0, 2, 4, 3), 1);  // never none
  EXPECT_EQ(ThreadsOfWorker(0, 8, 1, 0), 8);
}

TEST(Load, PoissonIsSeededAndHasItsRate) {
  LoadItem like;
  like.prompt_tokens = 9;
  const auto items = PoissonLoad(4000, 100, like, 7);
  ASSERT_EQ(items.size(), 4000U);
  EXPECT_EQ(items[0].at, 0);
  EXPECT_NEAR(static_cast<double>(items.back().at) / 1e6, 40.0, 3.0);
  EXPECT_EQ(items[100].at, PoissonLoad(4000, 100, like, 7)[100].at);
  EXPECT_NE(items[100].at, PoissonLoad(4000, 100, like, 8)[100].at);
  EXPECT_EQ(PoissonLoad(5, 0, like, 7)[4].at, 0);
}

TEST(Load, ReadsBothTraceFormats) {
  const auto azure = ParseTrace(
      "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:17:03.9799600,4808,10\r\n"
      "2023-11-16 18:17:04.0319600,3180,8\r\n",
      10);
  ASSERT_TRUE(azure.ok()) << azure.status();
  ASSERT_EQ(azure->size(), 2U);
  EXPECT_EQ((*azure)[0].at, 0);
  EXPECT_EQ((*azure)[1].at, 52'000);
  EXPECT_EQ((*azure)[1].prompt_tokens, 3180);
  EXPECT_EQ((*azure)[1].generate_tokens, 8);
  const auto mooncake = ParseTrace(
      R"({"timestamp": 1000, "input_length": 1100, "output_length": 5, "hash_ids": [0, 1, 2]}
{"timestamp": 1500, "input_length": 700, "output_length": 6, "hash_ids": [0, 3]}
{"timestamp": 1600, "input_length": 700, "output_length": 6, "hash_ids": [0, 4]})",
      2);
  ASSERT_TRUE(mooncake.ok()) << mooncake.status();
  ASSERT_EQ(mooncake->size(), 2U);
  EXPECT_EQ((*mooncake)[1].at, 500'000);
  const auto first = PromptOf((*mooncake)[0], 0, 1000, 1);
  const auto second = PromptOf((*mooncake)[1], 1, 1000, 1);
  ASSERT_EQ(first.size(), 1100U);
  ASSERT_EQ(second.size(), 700U);
  // Block 0 is shared, the next one is not.
  EXPECT_TRUE(std::equal(first.begin(), first.begin() + kTraceBlockTokens, second.begin()));
  EXPECT_FALSE(std::equal(second.begin() + kTraceBlockTokens, second.end(),
                          first.begin() + kTraceBlockTokens));
  for (const char* bad : {"", "TIMESTAMP,a,b\nyesterday,1,2", "{\"timestamp\": 1}", "{", "1,2"}) {
    EXPECT_FALSE(ParseTrace(bad, 10).ok()) << bad;
  }
}

TEST(Load, FitsTheContext) {
  std::vector<LoadItem> items(3);
  items[0].prompt_tokens = 10, items[0].generate_tokens = 5;
  items[1].prompt_tokens = 1000, items[1].generate_tokens = 5;
  items[2].prompt_tokens = 10, items[2].generate_tokens = 1000;
  EXPECT_EQ(FitInto(100, items), 2);
  for (const LoadItem& item : items) {
    EXPECT_LE(item.prompt_tokens + item.generate_tokens, 100);
    EXPECT_GE(item.prompt_tokens, 1);
    EXPECT_GE(item.generate_tokens, 1);
  }
}

TEST(Load, Quantiles) {
  std::vector<double> values = {5, 1, 4, 2, 3};
  EXPECT_EQ(QuantileOf(values, 0.5), 3);
  EXPECT_EQ(QuantileOf(values, 1), 5);
  values.clear();
  EXPECT_EQ(QuantileOf(values, 0.5), 0);
}

// Follows plans as a worker would: positions without gaps, blocks that reach, budgets kept.
class Follower {
 public:
  explicit Follower(const BenchPlans& plans) : plans_(plans) {}

  void Follow(const BenchPlans::Parts& parts) {
    for (const WorkerPart& part : parts) {
      for (const SeqId seq : part.closes) EXPECT_EQ(open_.erase(seq), 1U);
      for (const SequenceOpen& open : part.opens) {
        EXPECT_LE(open.blocks.size() * kKvBlockTokens, open.tokens.size());
        EXPECT_TRUE(
            open_
                .emplace(open.seq, Open{static_cast<int>(open.tokens.size()),
                                        static_cast<int>(open.blocks.size()) * kKvBlockTokens,
                                        open.blocks, part.slot})
                .second);
      }
      EXPECT_LE(part.rows(), plans_.rows_max());
      for (const Chunk& chunk : part.chunks) FollowChunk(chunk, part.slot);
    }
    std::map<Slot, std::set<BlockId>> used;
    for (const auto& [seq, open] : open_) {
      for (const BlockId block : open.blocks) {
        EXPECT_TRUE(used[open.slot].insert(block).second) << "a block has two owners";
        EXPECT_LT(block.value, plans_.kv_blocks());
      }
    }
  }
  int open() const { return static_cast<int>(open_.size()); }
  int sampled = 0;

 private:
  struct Open {
    int tokens, computed;
    std::vector<BlockId> blocks;
    Slot slot;
  };
  void FollowChunk(const Chunk& chunk, Slot slot) {
    Open& open = open_.at(chunk.seq);
    EXPECT_EQ(open.slot, slot);
    EXPECT_EQ(chunk.begin, open.computed);
    open.computed += chunk.count;
    EXPECT_LE(open.computed, open.tokens);
    EXPECT_EQ(chunk.sample, open.computed == open.tokens);
    open.blocks.insert(open.blocks.end(), chunk.new_blocks.begin(), chunk.new_blocks.end());
    EXPECT_GE(static_cast<int>(open.blocks.size()) * kKvBlockTokens, open.computed);
    if (!chunk.sample) return;
    ++open.tokens;
    ++sampled;
  }

  const BenchPlans& plans_;
  std::map<SeqId, Open> open_;
};

TEST(BenchPlans, AreWhatAWorkerAccepts) {
  const BenchShape shape{.workers = 3,
                         .batch = 7,
                         .prompt = 100,
                         .generate = 40,
                         .depth = 200,
                         .step_rows = 64,
                         .vocab = 50};
  BenchPlans plans(shape);
  Follower follower(plans);
  for (int repetition = 0; repetition < 2; ++repetition) {
    plans.OpenPrompts();
    int steps = 0;
    while (const auto parts = plans.Prefill()) follower.Follow(*parts), ++steps;
    EXPECT_GE(steps, 7 * 100 / 64);
    EXPECT_EQ(follower.open(), 7);
    EXPECT_EQ(std::exchange(follower.sampled, 0), 7);
    for (int i = 0; i < 40; ++i) follower.Follow(plans.Decode());
    EXPECT_EQ(std::exchange(follower.sampled, 0), 280);
    plans.OpenAtDepth();
    for (int i = 0; i < 41; ++i) follower.Follow(plans.Decode());
    EXPECT_EQ(std::exchange(follower.sampled, 0), 287);
    EXPECT_EQ(follower.open(), 7);
  }
}

v1::GetClusterResponse Cluster() {
  v1::GetClusterResponse cluster;
  cluster.set_epoch(7);
  cluster.set_ready(true);
  cluster.mutable_model()->set_name("tales");
  cluster.mutable_last_epoch_change()->set_cause("slot 1 joins");
  v1::WorkerSummary& worker = *cluster.add_workers();
  worker.set_slot(1);
  worker.set_role("worker");
  worker.set_state("active");
  for (int l = 0; l < 2; ++l) {
    v1::LayerExperts& layer = *worker.add_layers();
    for (const int id : {0, 1, 2, 5 + l}) layer.add_ids(id), layer.add_rows(10);
  }
  return cluster;
}

TEST(Status, RangesAreShort) {
  EXPECT_EQ(Ranges({0, 1, 2, 5, 7, 8}), "0-2,5,7-8");
  EXPECT_EQ(Ranges({}), "none");
  EXPECT_EQ(Ranges({4}), "4");
}

TEST(Status, JsonHasTheContractsKeys) {
  const auto object = nlohmann::json::parse(StatusJson(Cluster()));
  for (const char* key : {"epoch", "ready", "model", "workers", "requests", "last_epoch_change"}) {
    EXPECT_TRUE(object.contains(key)) << key;
  }
  for (const char* key : {"slot", "uuid", "role", "state", "address", "experts", "expert_bytes",
                          "kv_blocks_used", "kv_blocks_total", "rows_per_second", "rss_bytes"}) {
    EXPECT_TRUE(object["workers"][0].contains(key)) << key;
  }
  EXPECT_TRUE(object["requests"].contains("running"));
  EXPECT_TRUE(object["requests"].contains("waiting"));
  EXPECT_EQ(object["last_epoch_change"]["cause"], "slot 1 joins");
}

TEST(Status, TableSaysWhoHoldsWhat) {
  const std::string table = StatusTable(Cluster());
  EXPECT_THAT(table, HasSubstr("tales  ready"));
  EXPECT_THAT(table, HasSubstr("MoE layer 0: experts 0-2,5"));
  EXPECT_THAT(table, HasSubstr("MoE layer 1: experts 0-2,6"));
}

TEST(Progress, SaysHowFarAndHowFast) {
  EXPECT_THAT(ProgressText(500'000'000, 1'000'000'000, 1'000'000),
              HasSubstr("50 %  0.50 of 1.00 GB  0.50 GB/s"));
  EXPECT_THAT(ProgressText(0, 0, 0), HasSubstr("100 %"));
}

TEST(ChatSession, KeepsWhatWasSaid) {
  ChatSession chat(nlohmann::json{{"max_tokens", 5}});
  using Next = ChatSession::Next;
  EXPECT_EQ(chat.Hear("  ").next, Next::kAgain);
  EXPECT_EQ(chat.Hear("/system Be brief.").next, Next::kAgain);
  EXPECT_EQ(chat.Hear("Hello").next, Next::kAsk);
  const auto request = chat.Request();
  EXPECT_EQ(request["max_tokens"], 5);
  EXPECT_FALSE(request.contains("enable_thinking"));
  EXPECT_EQ(request["chat"], nlohmann::json::parse(
                                 R"([{"role": "system", "content": "Be brief."},
                                     {"role": "user", "content": "Hello"}])"));
  chat.Answered("Hi");
  EXPECT_EQ(chat.Hear("/think on").next, Next::kAgain);
  chat.Hear("More");
  EXPECT_EQ(chat.Request()["chat"].size(), 4U);
  EXPECT_EQ(chat.Request()["enable_thinking"], true);
  chat.Answered("");  // nothing came: the question is taken back
  EXPECT_EQ(chat.Request()["chat"].size(), 3U);
  EXPECT_THAT(chat.Transcript(), HasSubstr("Hi"));
  chat.Hear("/reset");
  EXPECT_EQ(chat.Request()["chat"].size(), 1U);
  EXPECT_EQ(chat.Hear("/save x.json").path, "x.json");
  EXPECT_EQ(chat.Hear("/save").next, Next::kAgain);
  EXPECT_EQ(chat.Hear("/stats").next, Next::kStats);
  EXPECT_EQ(chat.Hear("/quit").next, Next::kQuit);
  EXPECT_THAT(chat.Hear("/nonsense").say, HasSubstr("/nonsense"));
}

// The first line's answer comes last: the others wait for it, and no more than a bound of them.
TEST(AnswerLines, KeepsTheOrder) {
  std::string text;
  for (int i = 0; i < 200; ++i) text += std::to_string(i) + "\n\n";
  std::istringstream in(text);
  std::ostringstream out;
  std::atomic<int> answered{0};
  AnswerLines(
      in, out, 4,
      [&](const std::string& line) {
        // Until the window of 16 is full of answers that wait for this one.
        while (line == "0" && answered < 15) std::this_thread::yield();
        EXPECT_TRUE(line != "0" || answered == 15) << answered;
        ++answered;
        return "<" + line + ">";
      },
      [] { return false; });
  std::string want;
  for (int i = 0; i < 200; ++i) want += "<" + std::to_string(i) + ">\n";
  EXPECT_EQ(out.str(), want);
}

}  // namespace
}  // namespace conclave
