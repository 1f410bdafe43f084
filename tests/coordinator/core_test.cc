#include "coordinator/core.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "base/philox.h"
#include "world.h"

namespace conclave {
namespace {

TEST(Core, AnEpochFormsWhenAllAreThere) {
  World world(ClusterOf(3));
  world.Join({});
  world.Join({});
  world.Settle();
  EXPECT_FALSE(world.core().ready());
  EXPECT_EQ(world.core().Status(world.now()).not_ready_because, "2 of 3 workers are there");
  world.Join({});
  world.Settle();
  EXPECT_TRUE(world.core().ready());
  const ClusterStatus status = world.core().Status(world.now());
  EXPECT_EQ(status.epoch, Epoch(1, 1));
  ASSERT_EQ(status.workers.size(), 3u);
  int experts = 0;
  for (const WorkerStatus& worker : status.workers) {
    EXPECT_EQ(worker.state, "active");
    experts += worker.experts;
  }
  EXPECT_EQ(experts, 16);
  EXPECT_FALSE(world.Complained());
}

TEST(Core, ManyRequestsGetTheOraclesTokensOnAnyNumberOfWorkers) {
  for (const int workers : {1, 2, 3, 5}) {
    World world(ClusterOf(workers));
    for (int i = 0; i < workers; ++i) world.Join({});
    world.Settle();
    for (int i = 0; i < 20; ++i) {
      world.Ask(AskOf(absl::StrCat("r", i), PromptOf(1 + i * 9, i), 1 + i * 3));
    }
    world.Settle();
    world.ExpectExact();
    const ClusterStatus status = world.core().Status(world.now());
    EXPECT_EQ(status.requests_running, 0);
    for (const WorkerStatus& worker : status.workers) EXPECT_EQ(worker.kv_blocks_used, 0);
  }
}

}  // namespace
}  // namespace conclave
