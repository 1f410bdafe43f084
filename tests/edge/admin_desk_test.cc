// Whoever waits on the admin port gets an answer, whatever the worker does.
#include "coordinator/edge/admin_desk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/edge/switchboard.h"
#include "protocol/codec.h"

namespace conclave {
namespace {

using testing::HasSubstr;

// A worker's stream that remembers the last ticket it was asked for.
class Stream final : public WorkerStream {
 public:
  void Send(std::string bytes) override {
    const auto message = DecodeToWorker(bytes);
    ASSERT_TRUE(message.ok());
    ticket = std::get<RecorderAsked>(*message).ticket;
  }
  void Drop(const std::string&) override {}
  void Handled() override {}
  std::optional<std::uint64_t> ticket;
};

class Desk : public testing::Test {
 protected:
  Desk() {
    own_.Note("own words");
    for (int i = 0; i < 2; ++i) {
      const LinkId link{static_cast<std::uint64_t>(10 + i)};
      desk_.Name(link, "uuid-" + std::to_string(i));
      desk_.Seat(link, Slot{i}, streams_[i] = std::make_shared<Stream>());
    }
    desk_.Name(LinkId{12}, "uuid-2");  // said hello and was refused
  }
  absl::Status Gather(const std::string& who) {
    return desk_.Gather(who, 1000, [this](std::vector<LastWords> words) {
      EXPECT_FALSE(words_.has_value()) << "twice";
      words_ = std::move(words);
    });
  }
  void Tell(int worker, const std::string& text) {
    desk_.Told(LinkId{static_cast<std::uint64_t>(10 + worker)},
               RecorderTold{streams_[worker]->ticket.value_or(0), text});
  }
  FlightRecorder own_{"coordinator"};
  AdminDesk desk_{own_};
  std::shared_ptr<Stream> streams_[2];
  std::optional<std::vector<LastWords>> words_;
};

TEST_F(Desk, WaitsForAll) {
  ASSERT_TRUE(Gather("").ok());
  Tell(1, "one");
  Tell(1, "again");  // not asked any more
  EXPECT_FALSE(words_.has_value());
  Tell(0, "zero");
  ASSERT_TRUE(words_.has_value());
  ASSERT_EQ(words_->size(), 3u);
  EXPECT_EQ((*words_)[0].process, "coordinator");
  EXPECT_THAT((*words_)[0].text, HasSubstr("own words"));
  EXPECT_EQ((*words_)[1].process, "worker 1");
  EXPECT_EQ((*words_)[1].text, "one");
  EXPECT_EQ((*words_)[2].text, "zero");
  desk_.Expire(100'000'000);  // nothing is left to answer twice
}

TEST_F(Desk, NamesWhoWasSilent) {
  ASSERT_TRUE(Gather("").ok());
  Tell(0, "zero");
  desk_.Expire(1000 + AdminDesk::kRecorderLimit);
  EXPECT_FALSE(words_.has_value()) << "too early";
  desk_.Expire(1001 + AdminDesk::kRecorderLimit);
  ASSERT_TRUE(words_.has_value());
  ASSERT_EQ(words_->size(), 3u);
  EXPECT_EQ((*words_)[2].process, "worker 1");
  EXPECT_THAT((*words_)[2].error, HasSubstr("no answer within 2 s"));
  Tell(1, "late");
}

TEST_F(Desk, DoesNotWaitForTheDead) {
  ASSERT_TRUE(Gather("").ok());
  Tell(0, "zero");
  desk_.Gone(LinkId{11});
  ASSERT_TRUE(words_.has_value());
  EXPECT_THAT((*words_)[2].error, HasSubstr("ended"));
  EXPECT_TRUE(absl::IsNotFound(Gather("1")));
}

TEST_F(Desk, FindsBySlotAndUuid) {
  ASSERT_TRUE(Gather("uuid-1").ok());
  EXPECT_FALSE(streams_[0]->ticket.has_value());
  Tell(1, "one");
  ASSERT_EQ(words_->size(), 1u);
  words_.reset();
  ASSERT_TRUE(Gather("coordinator").ok());
  ASSERT_EQ(words_->size(), 1u);
  for (const char* nobody : {"2", "uuid-2", "uuid", "x"}) {
    const absl::Status status = Gather(nobody);
    EXPECT_TRUE(absl::IsNotFound(status)) << nobody;
    EXPECT_THAT(std::string(status.message()), HasSubstr("coordinator, 0, 1"));
  }
}

TEST_F(Desk, ATicketIsAnsweredOnce) {
  std::string said;
  const auto then = [&](const absl::Status& status, const std::string& text) {
    said += text + std::string(status.message());
  };
  const std::uint64_t first = *desk_.Expect(0, then), second = *desk_.Expect(0, then);
  EXPECT_NE(first, second);
  desk_.Tell({second, absl::OkStatus(), "b"});
  desk_.Tell({first, absl::NotFoundError("a"), ""});
  desk_.Tell({first, absl::OkStatus(), "again"});
  desk_.Tell({77, absl::OkStatus(), "nobody's"});
  EXPECT_EQ(said, "ba");
}

TEST_F(Desk, AnswersThatWaitAreBoundedInNumberAndTime) {
  std::vector<absl::Status> answers;
  const auto then = [&](const absl::Status& status, const std::string&) {
    answers.push_back(status);
  };
  for (std::size_t i = 0; i < AdminDesk::kAnswersWaitingMax; ++i) {
    ASSERT_TRUE(desk_.Expect(1000 + static_cast<Micros>(i), then).ok()) << i;
  }
  EXPECT_TRUE(absl::IsResourceExhausted(desk_.Expect(1000, then).status()));
  desk_.Expire(1000 + AdminDesk::kAnswerTimeout);
  EXPECT_TRUE(answers.empty()) << "too early";
  desk_.Expire(1010 + AdminDesk::kAnswerTimeout);
  ASSERT_EQ(answers.size(), 10u);
  for (const absl::Status& answer : answers) EXPECT_TRUE(absl::IsDeadlineExceeded(answer));
  EXPECT_TRUE(desk_.Expect(2000, then).ok()) << "there is room again";
}

TEST_F(Desk, FlightRecordersThatAreReadAreBoundedInNumber) {
  for (std::size_t i = 0; i < AdminDesk::kGatheringsMax; ++i) {
    ASSERT_TRUE(desk_.Gather("0", 1000, [](std::vector<LastWords>) {}).ok()) << i;
  }
  EXPECT_TRUE(absl::IsResourceExhausted(Gather("0")));
  EXPECT_TRUE(Gather("coordinator").ok()) << "nobody is waited for";
  Tell(0, "zero");  // the last one that was begun
  words_.reset();
  EXPECT_TRUE(Gather("0").ok());
}

}  // namespace
}  // namespace conclave
