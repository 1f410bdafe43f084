#include "coordinator/membership.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "base/limits.h"
#include "world.h"

namespace conclave {
namespace {

absl::StatusOr<Slot> GreetAt(Membership& membership, std::uint64_t id, const Hello& hello) {
  EXPECT_TRUE(membership.Arrive(LinkId{id}, 0));
  return membership.Greet(*membership.Find(LinkId{id}), hello, FakeFacts());
}

Hello HelloOf(const std::string& uuid) { return World::HelloOf(uuid, {}); }

TEST(Membership, TheLowestFreeSlot) {
  Membership membership;
  EXPECT_EQ(*GreetAt(membership, 1, HelloOf("a")), Slot{0});
  EXPECT_EQ(*GreetAt(membership, 2, HelloOf("b")), Slot{1});
  EXPECT_EQ(*GreetAt(membership, 3, HelloOf("c")), Slot{2});
  membership.Remove(LinkId{2});
  EXPECT_EQ(*GreetAt(membership, 4, HelloOf("d")), Slot{1});
  EXPECT_EQ(membership.AtSlot(Slot{1})->id, LinkId{4});
  EXPECT_EQ(membership.AtSlot(Slot{7}), nullptr);
}

TEST(Membership, EveryDifferenceIsRefusedByName) {
  struct Bad {
    std::string word;
    std::function<void(Hello&)> spoil;
  };
  const std::vector<Bad> all = {
      {"wire version", [](Hello& hello) { hello.wire_version = 9; }},
      {"model", [](Hello& hello) { hello.model.identity = 43; }},
      {"shape", [](Hello& hello) { hello.model.experts = 9; }},
      {"numerics", [](Hello& hello) { hello.numerics = 8; }},
      {"kernel set", [](Hello& hello) { hello.kernels = "avx512"; }},
      {"KV type", [](Hello& hello) { hello.kv_dtype = "f32"; }},
      {"exchange", [](Hello& hello) { hello.exchange = "ucx"; }},
      {"packed expert", [](Hello& hello) { hello.model.expert_bytes = 101; }},
      {"member already", [](Hello& hello) { hello.uuid = "first"; }},
      {"uuid", [](Hello& hello) { hello.uuid.clear(); }},
      {"last_epoch", [](Hello& hello) { hello.last_epoch = Epoch(1, UINT32_MAX); }},
      {"last_epoch", [](Hello& hello) { hello.last_epoch = Epoch(UINT32_MAX, 1); }},
      {"kv_blocks", [](Hello& hello) { hello.kv_blocks = 0; }},
      {"rows_max", [](Hello& hello) { hello.rows_max = 0; }},
      {"rows_max", [](Hello& hello) { hello.rows_max = kWorkerRowsMax + 1; }},
      {"arrivals_max", [](Hello& hello) { hello.arrivals_max = 0; }},
  };
  for (const Bad& bad : all) {
    Membership membership;
    ASSERT_TRUE(GreetAt(membership, 1, HelloOf("first")).ok());
    Hello hello = HelloOf("second");
    bad.spoil(hello);
    const auto slot = GreetAt(membership, 2, hello);
    ASSERT_FALSE(slot.ok()) << bad.word;
    EXPECT_NE(std::string(slot.status().message()).find(bad.word), std::string::npos)
        << slot.status();
    EXPECT_FALSE(membership.Find(LinkId{2})->greeted);
  }
}

TEST(Membership, AllSlotsTaken) {
  Membership membership;
  for (int i = 0; i < kSlotsMax; ++i) {
    ASSERT_TRUE(
        GreetAt(membership, static_cast<std::uint64_t>(i), HelloOf(std::to_string(i))).ok());
  }
  EXPECT_FALSE(GreetAt(membership, 500, HelloOf("one more")).ok());
}

TEST(Membership, SilenceIsJudgedByWhoTheyAre) {
  Membership membership;
  ASSERT_TRUE(GreetAt(membership, 1, HelloOf("a")).ok());
  membership.Arrive(LinkId{2}, 0);
  const Membership::Limits limits{.silence = 700, .hello = 5000};
  EXPECT_TRUE(membership.Silent(700, limits).empty());
  EXPECT_EQ(membership.Silent(701, limits), std::vector<LinkId>{LinkId{1}});
  EXPECT_EQ(membership.Silent(5001, limits).size(), 2u);
}

TEST(Membership, TheSlotItHadBefore) {
  Membership membership;
  Hello hello = HelloOf("a");
  hello.last_slot = 5;
  EXPECT_EQ(*GreetAt(membership, 1, hello), Slot{5});
  hello.uuid = "b";
  EXPECT_EQ(*GreetAt(membership, 2, hello), Slot{0}) << "it is taken";
  hello.uuid = "c";
  hello.last_slot = kSlotsMax;
  EXPECT_EQ(*GreetAt(membership, 3, hello), Slot{1}) << "there is no such slot";
  const std::vector<const WorkerLink*> greeted = membership.Greeted();
  ASSERT_EQ(greeted.size(), 3u);
  EXPECT_EQ(greeted[0]->id, LinkId{2});
  EXPECT_EQ(greeted[2]->id, LinkId{1});
}

}  // namespace
}  // namespace conclave
