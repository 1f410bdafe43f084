// What every backend promises when nothing goes wrong. faults_test.cc has the rest.
#include <atomic>
#include <filesystem>
#include <latch>
#include <memory>
#include <thread>

#include "exchange/rig.h"
#include "gtest/gtest.h"

namespace conclave {
namespace {

class Conformance : public testing::TestWithParam<BackendKind> {};

TEST_P(Conformance, EveryFrameArrivesWhole) {
  for (const int parties : {1, 2, 3, 5, 8}) {
    SCOPED_TRACE(parties);
    std::vector<int> slots;
    for (int i = 0; i < parties; ++i) slots.push_back(i);
    Rig rig(GetParam(), slots);
    rig.ExpectWorks(Epoch(1, 1), 30);
  }
}

TEST_P(Conformance, SlotsMayHaveHoles) {
  Rig rig(GetParam(), {0, 3, 7, 127});
  rig.ExpectWorks(Epoch(1, 5), 20);
  rig.ExpectWorks(Epoch(1, 6), 20, {0, 2, 3});
  rig.ExpectWorks(Epoch(1, 9), 20, {1, 3});
  rig.ExpectWorks(Epoch(1, 10), 20);
}

TEST_P(Conformance, SizesMayDifferByDirection) {
  Rig rig(GetParam(), {0, 1, 2});
  for (int i = 0; i < rig.size(); ++i) {
    rig.party(i).set_size([](const FrameName& name) {
      return name.from == 0 ? (std::size_t{5} << 20) + 3 : std::size_t{1};
    });
  }
  rig.ExpectWorks(Epoch(1, 1), 5);
}

TEST_P(Conformance, AFrameMayBeVeryLarge) {
  constexpr std::size_t kBytes = (std::size_t{48} << 20) + 17;
  Rig rig(GetParam(), {0, 1});
  for (int i = 0; i < rig.size(); ++i) {
    rig.party(i).set_size([](const FrameName& name) { return name.from == 0 ? kBytes : 64; });
    rig.party(i).set_capacity(std::size_t{64} << 20);
  }
  rig.ExpectWorks(Epoch(1, 1), 2);
}

TEST_P(Conformance, AFrameMayBeEmpty) {
  Rig rig(GetParam(), {0, 1, 2});
  for (int i = 0; i < rig.size(); ++i) {
    rig.party(i).set_size([](const FrameName& name) {
      return static_cast<std::size_t>((name.exchange + static_cast<std::uint64_t>(name.from)) % 2);
    });
    rig.party(i).set_capacity(4096);
  }
  rig.ExpectWorks(Epoch(1, 1), 20);
}

TEST_P(Conformance, ASlowPeerIsWaitedFor) {
  Rig rig(GetParam(), {0, 1, 2});
  const std::vector<Peer> peers = rig.Peers();
  std::latch others_are_at_it(2);
  rig.Each([&](int i) {
    if (i == 1) {
      others_are_at_it.wait();  // it even opens after the others began to send
    }
    ASSERT_TRUE(rig.party(i).Open(Epoch(1, 1), peers).ok());
    if (i != 1) others_are_at_it.count_down();
    for (int n = 0; n < 5; ++n) EXPECT_EQ(rig.party(i).Exchange(kLong), absl::OkStatus());
  });
}

// 0 and 2 may be one exchange ahead of 1, which looks only when they are.
TEST_P(Conformance, OneFrameAheadIsKept) {
  Rig rig(GetParam(), {0, 1, 2});
  for (int i = 0; i < rig.size(); ++i) {
    rig.party(i).set_size([](const FrameName& name) { return 100 + name.exchange; });
  }
  const std::vector<Peer> peers = rig.Peers();
  std::latch ahead(2);
  rig.Each([&](int i) {
    ASSERT_TRUE(rig.party(i).Open(Epoch(1, 1), peers).ok());
    ASSERT_EQ(rig.party(i).Exchange(kLong), absl::OkStatus());
    if (i == 1) {
      ahead.wait();
    } else {
      ahead.count_down();
    }
    for (int n = 0; n < 10; ++n) EXPECT_EQ(rig.party(i).Exchange(kLong), absl::OkStatus());
  });
}

// The next epoch is opened and tried on backends of its own while the running one exchanges; then
// the old ones go.
TEST_P(Conformance, ASecondBackendOpensWhileTheFirstExchanges) {
  auto running = std::make_unique<Rig>(GetParam(), std::vector<int>{0, 1});
  std::atomic<bool> stop{false};
  const std::vector<Peer> peers = running->Peers();
  std::thread load([&] {
    running->Each([&](int i) {
      Party& party = running->party(i);
      ASSERT_EQ(party.Open(Epoch(1, 1), peers), absl::OkStatus());
      party.set_size([](const FrameName&) { return std::size_t{3000}; });
      std::uint64_t exchanges = 0;
      // One of them says when to stop, and the other hears it from the frame's absence at the
      // latest: Abort ends the exchange it waits in.
      while (!stop.load()) {
        const absl::Status status = party.Exchange(kLong);
        if (stop.load()) break;
        ASSERT_EQ(status, absl::OkStatus());
        ++exchanges;
      }
      EXPECT_GT(exchanges, 0u);
      running->party(1 - i).backend().AbortBelow(Epoch(1, 2));
    });
  });
  while (running->party(0).backend().Waiting().exchange < 10) std::this_thread::yield();
  for (std::uint32_t epoch = 2; epoch < 12; ++epoch) {
    Rig next(GetParam(), {0, 1, 2});
    next.ExpectWorks(Epoch(1, epoch), 3);
  }
  stop = true;
  load.join();
}

std::ptrdiff_t OpenFiles() {
  using Iterator = std::filesystem::directory_iterator;
  return std::distance(Iterator("/proc/self/fd"), Iterator());
}

TEST_P(Conformance, FiftyEpochsInARowLeaveNothingBehind) {
  Rig rig(GetParam(), {0, 1, 2});
  for (std::uint32_t e = 1; e <= 5; ++e) rig.ExpectWorks(Epoch(1, e), 2);
  const std::ptrdiff_t files = OpenFiles();
  for (std::uint32_t e = 6; e <= 50; ++e) rig.ExpectWorks(Epoch(1, e), 2);
  // The same moment of the cycle; a leak of one per epoch would be 45.
  EXPECT_LE(OpenFiles(), files + 5);
}

TEST_P(Conformance, StatisticsAddUp) {
  Rig rig(GetParam(), {0, 1});
  for (int i = 0; i < 2; ++i) {
    rig.party(i).set_size([](const FrameName& name) { return name.from == 0 ? 1000 : 300000; });
  }
  rig.ExpectWorks(Epoch(1, 1), 3);
  rig.ExpectWorks(Epoch(1, 2), 4);
  const ExchangeStats& stats = rig.party(0).backend().stats();
  EXPECT_EQ(stats.exchanges, 7u);
  EXPECT_EQ(stats.bytes_sent, 7000u);
  EXPECT_EQ(stats.bytes_received, 2100000u);
  EXPECT_EQ(rig.party(0).backend().name(), GetParam().name);
}

std::string KindName(const testing::TestParamInfo<BackendKind>& info) {
  return info.param.name + info.param.transports;
}
INSTANTIATE_TEST_SUITE_P(All, Conformance, testing::ValuesIn(KindsHere()), KindName);

}  // namespace
}  // namespace conclave
