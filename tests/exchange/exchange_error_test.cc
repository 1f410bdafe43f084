#include <gtest/gtest.h>

#include <vector>

#include "exchange/exchange.h"

namespace conclave {
namespace {

TEST(ExchangeError, NamesItsPeerForPeopleAndForPrograms) {
  const absl::Status gone = PeerError(Slot{127}, "is gone");
  EXPECT_EQ(gone.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(gone.message(), "slot 127 is gone");
  EXPECT_EQ(PeersOf(gone).size(), 1);
  EXPECT_TRUE(PeersOf(gone).Has(Slot{127}));
}

TEST(ExchangeError, ATimeoutIsAboutThoseWhoseFrameNeverCame) {
  const std::vector<Slot> silent = {Slot{0}, Slot{64}};
  const std::vector<Slot> not_taking = {Slot{5}};
  const SlotSet peers = PeersOf(DeadlineError(silent, not_taking));
  EXPECT_EQ(peers.size(), 2);
  EXPECT_TRUE(peers.Has(Slot{0}) && peers.Has(Slot{64}));
  const absl::Status untaken = DeadlineError({}, not_taking);
  EXPECT_EQ(untaken.message(), "frame not taken by slots 5");
  EXPECT_TRUE(PeersOf(untaken).Has(Slot{5}));
}

// The words of a message are for people: what looks like a name in them is none.
TEST(ExchangeError, AMessageAloneNamesNobody) {
  EXPECT_TRUE(PeersOf(absl::UnavailableError("slot 3 is gone")).empty());
  EXPECT_TRUE(PeersOf(absl::OkStatus()).empty());
}

}  // namespace
}  // namespace conclave
