#include "coordinator/stats.h"

#include <gtest/gtest.h>

#include "world.h"

namespace conclave {
namespace {

TEST(Stats, WhatIsThereIsSaid) {
  CoordinatorConfig config;
  config.workers_wanted = 2;
  World world(config);
  world.Join({.kv_blocks = 10});
  world.Join({.role = Role::kExpert});
  world.Settle();
  world.Say(LinkId{1}, Heartbeat{.rss_bytes = 77});
  world.Ask(AskOf("r", PromptOf(70), 3));
  ClusterStatus status = world.core().Status(world.now());
  ASSERT_EQ(status.workers.size(), 2u);
  EXPECT_EQ(status.workers[0].kv_blocks_total, 10);
  EXPECT_EQ(status.workers[0].kv_blocks_used, 3) << "two plans hold the whole prompt";
  EXPECT_EQ(status.workers[0].rss_bytes, 77u);
  EXPECT_EQ(status.workers[1].kv_blocks_total, 0);
  EXPECT_EQ(status.workers[1].role, Role::kExpert);
  EXPECT_EQ(status.workers[1].experts, 8);
  ASSERT_EQ(status.workers[1].experts_by_layer.size(), 2u);
  EXPECT_EQ(status.requests_running, 1);
  world.Settle();
  status = world.core().Status(world.now());
  EXPECT_EQ(status.workers[0].kv_blocks_used, 0);
  EXPECT_EQ(status.workers[0].kv_blocks_cached, 2);
  EXPECT_EQ(status.endings[static_cast<std::size_t>(End::kLength)], 1u);
}

TEST(Stats, RatesAreOfTheLastSecond) {
  World world(CoordinatorConfig{});
  world.Join({});
  world.Settle();
  world.Pass(500'000);
  world.Pass(500'000);
  world.Ask(AskOf("r", PromptOf(20), 11));
  world.Settle();
  world.Pass(500'000);
  world.Pass(500'000);
  const double rate = world.core().Status(world.now()).workers[0].rows_per_second;
  EXPECT_NEAR(rate, 30, 1) << "30 rows in a second";
  world.Pass(600'000);
  world.Pass(600'000);
  EXPECT_EQ(world.core().Status(world.now()).workers[0].rows_per_second, 0);
}

}  // namespace
}  // namespace conclave
