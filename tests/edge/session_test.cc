// A session without gRPC: its call is held by the hand.
#include "coordinator/edge/session.h"

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "small_model.h"

namespace conclave {
namespace {

// Remembers what was sent; a message is taken when the test says so.
class HeldCall final : public ClientCall {
 public:
  explicit HeldCall(std::string id) : id_(std::move(id)) {}

  std::optional<FieldError> Translate(ClientAsk& ask) override {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [this] { return !hold_translation; });
    ask.id = id_;
    ask.prompt = {1, 2, 3};
    return bad;
  }
  std::optional<Micros> Deadline() const override { return std::nullopt; }
  void Write(const StreamPart& part, const std::string& request_id) override {
    Sent({part, request_id, std::nullopt});
  }
  void End(StreamPart& part, const std::string& request_id) override {
    Sent({part, request_id, std::nullopt});
  }
  void Finish(const grpc::Status& status) override { Sent({{}, "", status}); }

  struct Message {
    StreamPart part;
    std::string request_id;
    std::optional<grpc::Status> status;
  };
  // Waits until `count` messages were sent; false after a long time.
  bool Await(std::size_t count) {
    std::unique_lock lock(mutex_);
    return wake_.wait_for(lock, std::chrono::seconds(20),
                          [&] { return messages_.size() >= count; });
  }
  std::vector<Message> messages() {
    std::lock_guard lock(mutex_);
    return messages_;
  }
  void Translates() {
    std::lock_guard lock(mutex_);
    hold_translation = false;
    wake_.notify_all();
  }

  std::optional<FieldError> bad;
  bool hold_translation = false;

 private:
  void Sent(Message message) {
    std::lock_guard lock(mutex_);
    messages_.push_back(std::move(message));
    wake_.notify_all();
  }
  const std::string id_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Message> messages_;
};

class SessionTest : public testing::Test {
 protected:
  SessionTest() {
    serving_.switchboard = &switchboard_;
    serving_.strand = &strand_;
    serving_.pool = &pool_;
  }
  // Waits in the core: there is no worker.
  std::shared_ptr<Session> Asked(HeldCall& call, const std::string& id) {
    auto session = std::make_shared<Session>(serving_, static_cast<ClientCall&>(call));
    session->Start(id, 10);
    while (strand_.snapshot()->requests_waiting == 0) std::this_thread::yield();
    return session;
  }
  StreamPart Token(TokenId id) {
    StreamPart part;
    part.ids = {id};
    return part;
  }

  Metrics metrics_;
  CoordinatorCore core_{CoordinatorConfig{}, SmallModel(), nullptr};
  FlightRecorder recorder_{"coordinator"};
  AdminDesk desk_{recorder_};
  Switchboard switchboard_{{.metrics = metrics_, .desk = desk_, .recorder = recorder_},
                           [](LogLevel, std::string_view) {},
                           [](bool) {}};
  CoordinatorStrand strand_{core_, switchboard_};
  WorkPool pool_{{.threads = 1, .entries_max = 4, .bytes_max = 1 << 20}};
  Serving serving_;
};

TEST_F(SessionTest, OneMessageIsSentAtATimeAndTheRestIsJoined) {
  HeldCall call("r");
  const std::shared_ptr<Session> session = Asked(call, "r");
  // As its text worker would: nobody else speaks to the stream while it waits for a worker.
  for (TokenId id = 0; id < 5; ++id) {
    StreamPart part = Token(id);
    session->Deliver(part);
  }
  ASSERT_EQ(call.messages().size(), 1u) << "the first at once";
  EXPECT_EQ(call.messages()[0].part.ids, std::vector<TokenId>{0});
  EXPECT_EQ(call.messages()[0].request_id, "r");
  session->Written(true);
  ASSERT_TRUE(call.Await(2));
  EXPECT_EQ(call.messages()[1].part.ids, (std::vector<TokenId>{1, 2, 3, 4}));
  session->Written(true);
  StreamPart last = Token(5);
  last.ending.emplace().end = End::kLength;
  session->Deliver(last);
  ASSERT_EQ(call.messages().size(), 3u);
  EXPECT_TRUE(call.messages()[2].part.ending.has_value());
  StreamPart late = Token(6);
  session->Deliver(late);
  session->Leave();
  EXPECT_EQ(call.messages().size(), 3u) << "nothing after the end";
}

TEST_F(SessionTest, WhoseClientLeavesIsFinishedOnceTheCoreHasHeard) {
  HeldCall call("r");
  const std::shared_ptr<Session> session = Asked(call, "r");
  session->Leave();
  session->Leave();
  ASSERT_TRUE(call.Await(1));
  EXPECT_EQ(call.messages()[0].status->error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(strand_.snapshot()->requests_waiting, 0);
  EXPECT_EQ(switchboard_.clients(), 0u);
}

TEST_F(SessionTest, AMessageThatIsNotTakenIsAClientThatLeft) {
  HeldCall call("r");
  const std::shared_ptr<Session> session = Asked(call, "r");
  for (TokenId id = 0; id < 3; ++id) {
    StreamPart part = Token(id);
    session->Deliver(part);
  }
  session->Written(false);
  ASSERT_TRUE(call.Await(2));
  EXPECT_EQ(call.messages()[1].status->error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(strand_.snapshot()->requests_waiting, 0);
}

TEST_F(SessionTest, AnAbortWhileItIsTranslatedEndsItWithAReason) {
  HeldCall call("r");
  call.hold_translation = true;
  const auto session = std::make_shared<Session>(serving_, static_cast<ClientCall&>(call));
  session->Start("r", 10);
  EXPECT_TRUE(switchboard_.Abort("r"));
  call.Translates();
  ASSERT_TRUE(call.Await(1));
  EXPECT_EQ(call.messages()[0].part.ending->end, End::kCancelled);
  EXPECT_FALSE(switchboard_.Abort("r")) << "it is over";
}

TEST_F(SessionTest, WhatCannotBeTranslatedIsRefused) {
  HeldCall call("r");
  call.bad = FieldError{"text", "is not UTF-8"};
  const auto session = std::make_shared<Session>(serving_, static_cast<ClientCall&>(call));
  session->Start("r", 10);
  ASSERT_TRUE(call.Await(1));
  EXPECT_EQ(call.messages()[0].status->error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(switchboard_.clients(), 0u);
}

TEST_F(SessionTest, ADrainingServerTakesNobody) {
  serving_.draining = true;
  HeldCall call("r");
  const auto session = std::make_shared<Session>(serving_, static_cast<ClientCall&>(call));
  session->Start("r", 10);
  ASSERT_TRUE(call.Await(1));
  EXPECT_EQ(call.messages()[0].status->error_code(), grpc::StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace conclave
