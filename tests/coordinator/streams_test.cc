#include "coordinator/streams.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "world.h"

namespace conclave {
namespace {

// A cluster of one worker whose texts are known in advance.
class Stage {
 public:
  Stage() : world_(CoordinatorConfig{}, {}), text_(MakeToyText()) {
    link_ = world_.Join({});
    world_.Settle();
  }
  RequestId Run(ClientAsk ask) {
    const RequestId id = world_.Ask(std::move(ask));
    world_.Settle();
    return id;
  }
  std::string TextOf(const std::vector<TokenId>& ids) const { return *text_->Decode(ids, true); }
  World& world() { return world_; }
  LinkId link() const { return link_; }

 private:
  World world_;
  std::unique_ptr<Text> text_;
  LinkId link_;
};

std::vector<TokenId> Said(int prompt_salt, int count) {
  return Oracle(PromptOf(12, prompt_salt), count, FakeFacts().vocab);
}

TEST(Streams, AStopIdEndsTheTextBeforeItAndTheIdsWithIt) {
  Stage stage;
  const auto said = Said(1, 10);
  ClientAsk ask = AskOf("r", PromptOf(12, 1), 10);
  ask.stop_ids = {said[6]};
  const RequestId id = stage.Run(ask);
  const Client& client = stage.world().At(id);
  EXPECT_EQ(client.ending->end, End::kStop);
  EXPECT_EQ(client.ending->stop_id, said[6]);
  EXPECT_EQ(client.ids.back(), said[6]);
  stage.world().ExpectExact();
}

TEST(Streams, AStopStringOverTokensAndWithText) {
  Stage stage;
  // The longest run of letter pairs of some text, cut in the middle of tokens.
  for (int salt = 0; salt < 40; ++salt) {
    const auto said = Said(salt, 30);
    const std::string text = stage.TextOf(said);
    if (text.size() < 20) continue;
    ClientAsk ask = AskOf(absl::StrCat("r", salt), PromptOf(12, salt), 30);
    ask.stop = {text.substr(11, 5), "never said"};
    ask.include_stop_in_text = salt % 2 == 1;
    stage.Run(ask);
  }
  stage.world().ExpectExact();
  int stopped = 0;
  for (const auto& [id, client] : stage.world().clients()) {
    stopped += client.ending->stop.empty() ? 0 : 1;
  }
  EXPECT_GT(stopped, 20);
}

TEST(Streams, MinTokensHoldsStopStringsOff) {
  Stage stage;
  for (int salt = 0; salt < 40; ++salt) {
    ClientAsk ask = AskOf(absl::StrCat("r", salt), PromptOf(12, salt), 20);
    ask.min_tokens = 15;
    ask.stop = {"a", "e", "i", "o", "u", "t", "s"};
    const RequestId id = stage.Run(ask);
    EXPECT_GE(stage.world().At(id).ids.size(), 15u);
  }
}

TEST(Streams, ThePartsHaveTheirTimesAndCounts) {
  Stage stage;
  stage.Run(AskOf("first", PromptOf(100), 3));
  const RequestId id = stage.Run(AskOf("second", PromptOf(100), 9));
  const Client& client = stage.world().At(id);
  EXPECT_EQ(client.parts, 9) << "a part for each token, the ending in the last";
  const Ending& ending = *client.ending;
  EXPECT_EQ(ending.usage.prompt_tokens, 100);
  EXPECT_EQ(ending.usage.cached_prompt_tokens, 96);
  EXPECT_EQ(ending.usage.completion_tokens, 9);
  EXPECT_EQ(ending.timing.queue, 0);
  EXPECT_EQ(ending.timing.gap_p50, 100);
  EXPECT_EQ(ending.timing.gap_max, 100);
  EXPECT_EQ(ending.timing.total - ending.timing.first_token, 800);
}

TEST(Streams, WhoLeavesIsFreedAtOnceAndOthersGoOn) {
  Stage stage;
  World& world = stage.world();
  const RequestId leaver = world.Ask(AskOf("a", PromptOf(30), 50));
  const RequestId aborted = world.Ask(AskOf("b", PromptOf(30, 1), 50));
  world.Ask(AskOf("c", PromptOf(30, 2), 50));
  world.WorkerAt(stage.link())->RunStep();
  world.Deliver(stage.link());
  const int before = world.core().Status(0).workers[0].kv_blocks_used;
  world.Leave(leaver);
  world.Abort("b");
  world.Abort("nobody");
  EXPECT_LT(world.core().Status(0).workers[0].kv_blocks_used, before);
  EXPECT_EQ(world.At(leaver).ending->end, End::kCancelled);
  EXPECT_EQ(world.At(aborted).ending->end, End::kCancelled);
  world.Settle();
  world.ExpectExact();
  world.Ask(AskOf("d", PromptOf(30, 3), 2));
  world.Settle();
  EXPECT_EQ(world.WorkerAt(stage.link())->open_sequences(), 1u) << "closed by the next plan";
}

TEST(Streams, ADeadlineEndsARequestWhereverItIs) {
  CoordinatorConfig config;
  config.running_max = 1;
  World world(config);
  world.Join({});
  world.Settle();
  ClientAsk running = AskOf("a", PromptOf(30), 50);
  running.deadline = world.now() + 1000;
  ClientAsk waiting = AskOf("b", PromptOf(30), 50);
  waiting.deadline = world.now() + 2000;
  const RequestId first = world.Ask(running);
  const RequestId second = world.Ask(waiting);
  world.Pass(1000);
  EXPECT_EQ(world.At(first).ending->end, End::kDeadline);
  EXPECT_FALSE(world.At(second).ending.has_value());
  world.Pass(1000);
  EXPECT_EQ(world.At(second).ending->end, End::kDeadline);
}

TEST(Streams, TheQueueIsBounded) {
  CoordinatorConfig config;
  config.waiting_max = 3;
  World world(config);
  for (int i = 0; i < 5; ++i) world.Ask(AskOf(absl::StrCat("r", i), PromptOf(5), 2));
  EXPECT_EQ(world.At(RequestId{4}).ending->end, End::kOverloaded);
  EXPECT_EQ(world.core().Status(0).requests_waiting, 3);
  world.Join({});
  world.Settle();
  world.ExpectExact();
  EXPECT_EQ(world.core().Status(0).endings[static_cast<std::size_t>(End::kOverloaded)], 2u);
}

}  // namespace
}  // namespace conclave
