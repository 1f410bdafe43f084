// What every backend promises when something goes wrong: the right error, soon, naming the right
// slots; nothing of it left in the next epoch.
#include <barrier>
#include <latch>
#include <thread>

#include "exchange/rig.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace conclave {
namespace {

using testing::HasSubstr;

constexpr Micros kShort = Micros{800} * 1000;  // long for peers that are there, which need a few ms

class Faults : public testing::TestWithParam<BackendKind> {};

// Opens for everybody and runs one exchange, so that all are connected.
void Connect(Rig& rig, Epoch epoch) { rig.ExpectWorks(epoch, 1); }

TEST_P(Faults, ADeadlineNamesExactlyTheMissingSlots) {
  Rig rig(GetParam(), {0, 3, 7, 127});
  Connect(rig, Epoch(1, 1));
  std::latch both_back(2);
  rig.Each({0, 1}, [&](int i) {
    const absl::Status status = rig.party(i).Exchange(kShort);
    EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
    EXPECT_EQ(status.message(), "no frame from slots 7, 127");
    both_back.arrive_and_wait();
  });
  rig.ExpectWorks(Epoch(1, 2), 3);
}

TEST_P(Faults, AnyThreadSeesWhereAnExchangeStandsAndForWhomItWaits) {
  Rig rig(GetParam(), {0, 3, 7, 127});
  EXPECT_EQ(rig.party(0).backend().Waiting().exchange, 0u);
  Connect(rig, Epoch(1, 1));
  EXPECT_EQ(rig.party(0).backend().Waiting().exchange, 0u) << "none runs";
  std::thread waiting([&] { EXPECT_FALSE(rig.party(0).Exchange(kLong).ok()); });
  std::thread sent([&] { EXPECT_FALSE(rig.party(2).Exchange(kLong).ok()); });
  SlotSet silent;
  silent.Add(Slot{3});
  silent.Add(Slot{127});
  ExchangeWait seen;
  for (int i : {0, 2}) {
    do {
      seen = rig.party(i).backend().Waiting();
      std::this_thread::yield();
    } while (seen.exchange == 0 || seen.missing != silent);
    EXPECT_EQ(seen.exchange, 2u) << "the second of this epoch";
    // It looks for frames all the while.
    while (rig.party(i).backend().Waiting().looks == seen.looks) std::this_thread::yield();
  }
  for (int i : {0, 2}) rig.party(i).backend().AbortBelow(Epoch(1, 2));
  waiting.join();
  sent.join();
  EXPECT_EQ(rig.party(0).backend().Waiting().exchange, 0u);
  EXPECT_TRUE(rig.party(0).backend().Waiting().missing.empty());
  rig.ExpectWorks(Epoch(1, 2), 3);
}

TEST_P(Faults, APeerThatNeverOpenedIsMissing) {
  Rig rig(GetParam(), {0, 1});
  ASSERT_EQ(rig.party(0).Open(Epoch(1, 1), rig.Peers()), absl::OkStatus());
  const absl::Status status = rig.party(0).Exchange(kShort / 4);
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
  EXPECT_EQ(status.message(), "no frame from slots 1");
  rig.ExpectWorks(Epoch(1, 2), 3);
}

TEST_P(Faults, AbortEndsARunningExchange) {
  Rig rig(GetParam(), {0, 1});
  Connect(rig, Epoch(1, 1));
  std::thread waiting([&] {
    const absl::Status status = rig.party(0).Exchange(kLong);
    EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << status;
  });
  rig.party(0).backend().AbortBelow(Epoch(1, 1));  // an older epoch's: no effect
  rig.party(0).backend().AbortBelow(Epoch(1, 2));
  waiting.join();
  rig.ExpectWorks(Epoch(1, 2), 3);
}

TEST_P(Faults, AbortEndsALaterExchangeOrOpen) {
  Rig rig(GetParam(), {0, 1});
  Connect(rig, Epoch(1, 4));
  rig.party(0).backend().AbortBelow(Epoch(1, 7));
  EXPECT_EQ(rig.party(0).Exchange(kLong).code(), absl::StatusCode::kAborted);
  EXPECT_EQ(rig.party(0).Open(Epoch(1, 6), rig.Peers()).code(), absl::StatusCode::kAborted);
  rig.ExpectWorks(Epoch(1, 7), 3);
}

TEST_P(Faults, AFrameThatDoesNotFitEndsTheExchange) {
  for (const std::size_t bytes : {std::size_t{5000}, std::size_t{4} << 20}) {
    SCOPED_TRACE(bytes);
    Rig rig(GetParam(), {0, 2});
    for (int i = 0; i < rig.size(); ++i) {
      rig.party(i).set_size([=](const FrameName& name) { return name.from == 0 ? bytes : 10; });
    }
    Connect(rig, Epoch(1, 1));
    rig.party(1).set_capacity(bytes - 1);
    rig.Each([&](int i) {
      const absl::Status status = rig.party(i).Exchange(i == 0 ? kShort : kLong);
      if (i == 0) return;  // may or may not notice, by how much it sent ahead
      EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr("from slot 0"));
    });
    rig.party(1).set_capacity(bytes);
    rig.ExpectWorks(Epoch(1, 2), 3);
  }
}

TEST_P(Faults, AClosedPeerIsNamed) {
  Rig rig(GetParam(), {0, 1, 9});
  Connect(rig, Epoch(1, 1));
  std::barrier both_back(2);
  rig.party(2).backend().Close();
  rig.Each({0, 1}, [&](int i) {
    const absl::Status status = rig.party(i).Exchange(kShort);
    EXPECT_TRUE(absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status)) << status;
    EXPECT_THAT(std::string(status.message()), testing::ContainsRegex("slots? 9"));
    both_back.arrive_and_wait();
  });
  rig.ExpectWorks(Epoch(1, 2), 3, {0, 1});
  rig.ExpectWorks(Epoch(1, 3), 3);
}

// Frames that were sent in one epoch and never taken must not show up in the next, though the next
// one's first frames have the same numbers, sources and sizes. Small frames wait at the receiver,
// large ones at the sender.
TEST_P(Faults, FramesOfAnOldEpochStayThere) {
  for (const std::size_t bytes : {std::size_t{100}, std::size_t{2} << 20}) {
    SCOPED_TRACE(bytes);
    Rig rig(GetParam(), {0, 1, 2});
    for (int i = 0; i < rig.size(); ++i) {
      rig.party(i).set_size([=](const FrameName&) { return bytes; });
    }
    for (std::uint32_t epoch = 1; epoch <= 6; ++epoch) {
      rig.ExpectWorks(Epoch(1, epoch), static_cast<int>(epoch % 3));
      rig.Each({0, 1}, [&](int i) { EXPECT_FALSE(rig.party(i).Exchange(20000).ok()); });
    }
    rig.ExpectWorks(Epoch(1, 7), 4);
  }
}

// The coordinator gave up an epoch after some workers had opened it and even sent: the others open
// the next one with the same standby endpoint.
TEST_P(Faults, FramesOfAnEpochThatWasGivenUpAreFencedOff) {
  Rig rig(GetParam(), {0, 1});
  for (int i = 0; i < rig.size(); ++i) {
    rig.party(i).set_size([](const FrameName&) { return std::size_t{64}; });
  }
  const std::vector<Peer> given_up = rig.Peers();
  ASSERT_EQ(rig.party(0).Open(Epoch(1, 1), given_up), absl::OkStatus());
  EXPECT_FALSE(rig.party(0).Exchange(20000).ok());
  EXPECT_EQ(rig.Peers()[1].address, given_up[1].address);
  EXPECT_NE(rig.Peers()[0].address, given_up[0].address);
  rig.ExpectWorks(Epoch(1, 2), 4);
}

// The same, with the sender still alive in its old epoch: its frame does reach the endpoint.
TEST_P(Faults, AFrameFromALiveOldEpochIsDropped) {
  Rig rig(GetParam(), {0, 1, 2});
  for (int i = 0; i < rig.size(); ++i) {
    rig.party(i).set_size([](const FrameName&) { return std::size_t{64}; });
  }
  ASSERT_EQ(rig.party(0).Open(Epoch(1, 1), rig.Peers()), absl::OkStatus());
  std::latch others_are_done(2);
  const std::vector<Peer> peers = rig.Peers({1, 2});
  rig.Each([&](int i) {
    if (i == 0) {
      EXPECT_FALSE(rig.party(0).Exchange(kShort).ok());
      others_are_done.wait();
      return;
    }
    EXPECT_EQ(rig.party(i).Open(Epoch(1, 2), peers), absl::OkStatus());
    for (int n = 0; n < 200; ++n) EXPECT_EQ(rig.party(i).Exchange(kLong), absl::OkStatus());
    others_are_done.count_down();
  });
}

TEST_P(Faults, AfterAnErrorTheEpochIsOver) {
  Rig rig(GetParam(), {0, 1});
  Connect(rig, Epoch(1, 1));
  EXPECT_FALSE(rig.party(0).Exchange(1000).ok());
  EXPECT_EQ(rig.party(0).Exchange(1000).code(), absl::StatusCode::kFailedPrecondition);
  rig.party(0).backend().Close();
  rig.party(0).backend().Close();
  EXPECT_EQ(rig.party(0).Exchange(1000).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_P(Faults, ABadViewIsRefused) {
  Rig rig(GetParam(), {0, 1});
  const std::vector<Peer> good = rig.Peers();
  const auto open = [&](std::vector<Peer> peers) {
    return rig.party(0).Open(Epoch(1, 1), peers).code();
  };
  EXPECT_EQ(open({}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(open({good[1]}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(open({good[1], good[0]}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(open({good[0], good[0]}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(open({good[0], {Slot{128}, good[1].address}}), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(rig.party(0).Open(Epoch(1, 1), {good[0], {Slot{1}, "nonsense"}}).ok());
  EXPECT_FALSE(rig.party(0).Open(Epoch(1, 1), {rig.Peers()[0], {Slot{1}, ""}}).ok());
  const absl::Status cut =
      rig.party(0).Open(Epoch(1, 1), {rig.Peers()[0], {Slot{1}, good[1].address.substr(0, 6)}});
  EXPECT_FALSE(cut.ok());
  // An address of an endpoint that was used up: the peer would be talking to a past epoch's.
  EXPECT_EQ(rig.party(0).Open(Epoch(1, 1), good).code(), absl::StatusCode::kInvalidArgument);
  rig.ExpectWorks(Epoch(1, 2), 2);
}

class NoSink final : public FrameSink {
  std::span<std::byte> Reserve(Slot, std::size_t) override { return {}; }
};

TEST_P(Faults, BadSendsAreRefused) {
  Rig rig(GetParam(), {0, 1, 2});
  Connect(rig, Epoch(1, 1));
  const std::byte byte{1};
  const OutFrame to0{Slot{0}, {&byte, 1}};
  const OutFrame to1{Slot{1}, {&byte, 1}};
  const OutFrame to2{Slot{2}, {&byte, 1}};
  const OutFrame to3{Slot{3}, {&byte, 1}};
  NoSink sink;
  const auto exchange = [&](std::vector<OutFrame> sends) {
    return rig.party(0).backend().Exchange(sends, sink, kShort).code();
  };
  EXPECT_EQ(exchange({}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(exchange({to1}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(exchange({to2, to1}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(exchange({to0, to1, to2}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(exchange({to1, to2, to3}), absl::StatusCode::kInvalidArgument);
}

std::string KindName(const testing::TestParamInfo<BackendKind>& info) {
  return info.param.name + info.param.transports;
}
INSTANTIATE_TEST_SUITE_P(All, Faults, testing::ValuesIn(KindsHere()), KindName);

}  // namespace
}  // namespace conclave
