// Snapshots share what did not change; whatever happened before, they say what one made anew says.
#include "coordinator/snapshot.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "world.h"

namespace conclave {
namespace {

void ExpectSame(const ChangeStatus& got, const ChangeStatus& want) {
  EXPECT_EQ(got.stage, want.stage);
  EXPECT_EQ(got.epoch, want.epoch);
  EXPECT_EQ(got.cause, want.cause);
  EXPECT_EQ(got.since, want.since);
  EXPECT_EQ(got.waiting_for, want.waiting_for);
}

void ExpectSameCounters(const ClusterStatus& got, const ClusterStatus& want) {
  EXPECT_EQ(got.epoch, want.epoch);
  EXPECT_EQ(got.ready, want.ready);
  EXPECT_EQ(got.not_ready_because, want.not_ready_because);
  EXPECT_EQ(got.model, want.model);
  EXPECT_EQ(got.requests_running, want.requests_running);
  EXPECT_EQ(got.requests_waiting, want.requests_waiting);
  EXPECT_EQ(got.last_epoch_cause, want.last_epoch_cause);
  EXPECT_EQ(got.last_epoch_micros, want.last_epoch_micros);
  EXPECT_EQ(got.change_given_up, want.change_given_up);
  EXPECT_EQ(got.change_retry_in, want.change_retry_in);
  EXPECT_EQ(got.changes, want.changes);
  EXPECT_EQ(got.pauses.counts, want.pauses.counts);
  EXPECT_EQ(got.steps, want.steps);
  EXPECT_EQ(got.prompt_tokens, want.prompt_tokens);
  EXPECT_EQ(got.cached_prompt_tokens, want.cached_prompt_tokens);
  EXPECT_EQ(got.emitted_tokens, want.emitted_tokens);
  EXPECT_EQ(got.preemptions, want.preemptions);
  EXPECT_EQ(got.resumed, want.resumed);
  EXPECT_EQ(got.attached, want.attached);
  EXPECT_EQ(got.endings, want.endings);
  EXPECT_EQ(got.bytes_sent, want.bytes_sent);
  EXPECT_EQ(got.bad_router_rows, want.bad_router_rows);
  ASSERT_EQ(got.phases.size(), want.phases.size());
  for (std::size_t i = 0; i < got.phases.size(); ++i) {
    EXPECT_EQ(got.phases[i].micros, want.phases[i].micros) << i;
  }
  ASSERT_EQ(got.recent.size(), want.recent.size());
  for (std::size_t i = 0; i < got.recent.size(); ++i) {
    EXPECT_EQ(got.recent[i].epoch, want.recent[i].epoch) << i;
    EXPECT_EQ(got.recent[i].cause, want.recent[i].cause) << i;
  }
}

// `numbers`: what changes with every step, too.
void ExpectSame(const WorkerStatus& got, const WorkerStatus& want, bool numbers) {
  EXPECT_EQ(got.slot, want.slot);
  EXPECT_EQ(got.uuid, want.uuid);
  EXPECT_EQ(got.role, want.role);
  EXPECT_EQ(got.state, want.state);
  EXPECT_EQ(got.why, want.why);
  EXPECT_EQ(got.address, want.address);
  EXPECT_EQ(got.kernels, want.kernels);
  EXPECT_EQ(got.kv_dtype, want.kv_dtype);
  EXPECT_EQ(got.exchange, want.exchange);
  EXPECT_EQ(got.experts, want.experts);
  EXPECT_EQ(got.experts_by_layer, want.experts_by_layer);
  EXPECT_EQ(got.kv_blocks_total, want.kv_blocks_total);
  if (!numbers) return;
  EXPECT_EQ(got.expert_bytes, want.expert_bytes);
  EXPECT_EQ(got.kv_blocks_used, want.kv_blocks_used);
  EXPECT_EQ(got.kv_blocks_cached, want.kv_blocks_cached);
  EXPECT_EQ(got.rows_per_second, want.rows_per_second);
  EXPECT_EQ(got.rss_bytes, want.rss_bytes);
  EXPECT_EQ(got.expert_rows, want.expert_rows);
}

// After every event of a world: the snapshot, spelt out, is the status made anew.
class Compare {
 public:
  explicit Compare(World& world) : world_(world) {
    world.AfterEvents([this](const CoordinatorEvent&) { Look(); });
  }
  void Look() {
    const Micros now = world_.now();
    const auto snapshot = world_.core().Snapshot(now);
    EXPECT_EQ(snapshot->taken, now);
    const ClusterStatus got = StatusFrom(*snapshot, now, ExpertLists::kInclude);
    const ClusterStatus want = world_.core().Status(now);
    ExpectSameCounters(got, want);
    const bool fresh = snapshot->members != members_;
    members_ = snapshot->members;
    if (fresh) ExpectSame(got.change, want.change);
    ASSERT_EQ(got.workers.size(), want.workers.size());
    std::int64_t used = 0;
    for (std::size_t i = 0; i < got.workers.size(); ++i) {
      ExpectSame(got.workers[i], want.workers[i], fresh);
      used += want.workers[i].kv_blocks_used;
    }
    EXPECT_EQ(snapshot->kv_blocks_used, used);
    ++looks_;
  }
  int looks() const { return looks_; }

 private:
  World& world_;
  std::shared_ptr<const MembersSnapshot> members_;  // as they were looked at last
  int looks_ = 0;
};

void AskSome(World& world, int salt) {
  for (int i = 0; i < 6; ++i) {
    world.Ask(AskOf("r" + std::to_string(salt) + std::to_string(i), PromptOf(40, salt + i), 8));
  }
}

TEST(Snapshot, SaysWhatAStatusMadeAnewSays) {
  World world(ClusterOf(2));
  Compare compare(world);
  world.Join({.kv_blocks = 40});
  AskSome(world, 1);
  world.Join({});
  world.Settle();
  world.Pass(1000);
  AskSome(world, 2);
  const LinkId third = world.Join({});  // joins beside the running epoch
  world.Settle();
  world.Pass(1000);
  AskSome(world, 3);
  world.Join({.role = Role::kExpert});
  world.Settle();
  EXPECT_TRUE(world.Drain("0").ok());
  world.Settle();
  for (int i = 0; i < 10; ++i) {
    world.Pass(20'000);
    world.Settle();
  }
  AskSome(world, 4);
  world.Kill(third);
  world.Settle();
  for (const LinkId link : world.Links()) world.Kill(link);  // nobody is left
  world.Pass(1000);
  world.Join({});
  world.Join({});
  world.Settle();
  AskSome(world, 5);
  world.Settle();
  EXPECT_GT(compare.looks(), 100);
  const ClusterStatus status = world.core().Status(world.now());
  EXPECT_TRUE(status.ready);
  EXPECT_GE(status.epoch.number, 5u) << "the script made fewer epochs than it was written for";
}

TEST(Snapshot, SharesWhatDidNotChange) {
  World world(ClusterOf(2));
  world.Join({});
  world.Join({});
  world.Settle();
  world.Pass(200'000);
  const auto before = world.core().Snapshot(world.now());
  world.Ask(AskOf("r", PromptOf(20), 4));
  world.Settle();
  const auto after = world.core().Snapshot(world.now());
  EXPECT_EQ(after->steps, 4u);
  EXPECT_EQ(before->steps, 0u) << "a snapshot never changes";
  EXPECT_EQ(after->members, before->members);
  EXPECT_EQ(after->recent, before->recent);
  EXPECT_EQ(after->model, before->model);
  world.Pass(200'000);
  const auto later = world.core().Snapshot(world.now());
  EXPECT_NE(later->members, before->members);
  EXPECT_EQ(later->members->workers[0].description, before->members->workers[0].description);
  EXPECT_EQ(later->recent, before->recent);
  world.Kill(LinkId{1});
  world.Settle();
  EXPECT_NE(world.core().Snapshot(world.now())->recent, before->recent);
}

TEST(Snapshot, ExpertRowsAreCopiedNowAndThen) {
  World world(ClusterOf(1));
  world.Join({});
  world.Settle();
  world.Pass(kExpertRowsAge);
  const auto rows = [&] { return world.core().Snapshot(world.now())->expert_rows; };
  const auto before = rows();
  world.Ask(AskOf("r", PromptOf(4), 4));
  world.Settle();
  world.Pass(kExpertRowsAge);
  const auto after = rows();
  ASSERT_EQ(after->size(), 16u);
  EXPECT_EQ(after->front(), 4u) << "one for each step";
  world.Pass(kExpertRowsAge);
  EXPECT_EQ(rows(), after) << "no step was run since";
  EXPECT_TRUE(before->empty() || before->front() == 0);
}

TEST(Snapshot, TimeGoesOnForTheReader) {
  World world(ClusterOf(2));
  world.Join({});
  world.Join({});
  world.Settle();
  world.Kill(LinkId{1});
  const auto snapshot = world.core().Snapshot(world.now());
  const auto since = [&](Micros later) {
    return StatusFrom(*snapshot, world.now() + later, ExpertLists::kOmit).change.since;
  };
  ASSERT_FALSE(snapshot->members->change.stage.empty());
  EXPECT_EQ(since(5000) - since(0), 5000);
}

}  // namespace
}  // namespace conclave
