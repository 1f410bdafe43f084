// An Abort that comes while the request is still on its way to the core, whose every step is held
// here by the hand: the pool that tokenizes has one thread, and it waits at a gate.
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "coordinator/edge/byte_message.h"
#include "coordinator/edge/inference_service.h"
#include "rig.h"
#include "small_model.h"

namespace conclave {
namespace {

v1::GenerateRequest Named(const std::string& id) {
  v1::GenerateRequest request;
  request.set_request_id(id);
  request.mutable_token_ids()->add_ids(1);
  return request;
}

// The service with no worker behind it: whoever is admitted waits.
class AbortTest : public ::testing::Test {
 protected:
  AbortTest() {
    serving_.switchboard = &switchboard_;
    serving_.strand = &strand_;
    serving_.pool = &pool_;
    grpc::ServerBuilder builder;
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    client_ = v1::InferenceService::NewStub(server_->InProcessChannel({}));
  }
  ~AbortTest() override {
    client_.reset();
    server_->Shutdown(std::chrono::system_clock::now());
  }

  // The pool does nothing from here on until the gate is opened.
  void CloseGate() {
    std::promise<void> there;
    pool_.Offer(0, [&there, open = gate_.get_future().share()] {
      there.set_value();
      open.wait();
    });
    there.get_future().wait();
  }
  void OpenGate() { gate_.set_value(); }

  bool Abort(const std::string& id) {
    grpc::ClientContext context;
    v1::AbortRequest request;
    request.set_request_id(id);
    v1::AbortResponse response;
    EXPECT_TRUE(client_->Abort(&context, request, &response).ok());
    return response.found();
  }

  bool AwaitFound(const std::string& id) {  // false after a long time
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (std::chrono::steady_clock::now() < until) {
      if (Abort(id)) return true;
    }
    return false;
  }

  Metrics metrics_;
  CoordinatorCore core_{CoordinatorConfig{}, SmallModel(), nullptr};
  FlightRecorder recorder_{"coordinator"};
  AdminDesk desk_{recorder_};
  Switchboard switchboard_{
      {.metrics = metrics_, .desk = desk_, .recorder = recorder_},
      [](LogLevel, std::string_view) {},
      [](bool) {}};
  CoordinatorStrand strand_{core_, switchboard_};
  std::promise<void> gate_;
  WorkPool pool_{{.threads = 1, .entries_max = 2, .bytes_max = 1 << 20}};
  Serving serving_;
  InferenceService service_{serving_};
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::InferenceService::Stub> client_;
};

TEST_F(AbortTest, FindsWhatIsStillBeingTokenized) {
  CloseGate();
  Answer answer;
  std::thread asking([&] { answer = Generate(*client_, Named("early")); });
  EXPECT_TRUE(AwaitFound("early"));
  EXPECT_FALSE(Abort("somebody else"));
  OpenGate();
  asking.join();
  EXPECT_TRUE(answer.status.ok()) << answer.status.error_message();
  EXPECT_EQ(answer.finished_messages, 1);
  EXPECT_EQ(answer.finished.reason(), v1::FINISH_REASON_CANCELLED);
  EXPECT_TRUE(answer.ids.empty());
  EXPECT_FALSE(Abort("early")) << "it is over";
  EXPECT_EQ(strand_.snapshot()->requests_waiting, 0);
}

TEST_F(AbortTest, FindsWhatWaitsInTheCore) {
  Answer answer;
  std::thread asking([&] { answer = Generate(*client_, Named("late")); });
  while (strand_.snapshot()->requests_waiting == 0) std::this_thread::yield();
  EXPECT_TRUE(Abort("late"));
  asking.join();
  EXPECT_EQ(answer.finished.reason(), v1::FINISH_REASON_CANCELLED);
  EXPECT_EQ(answer.finished_messages, 1);
}

TEST_F(AbortTest, WhomThePoolTurnsAwayIsForgotten) {
  CloseGate();
  Answer first, second;
  std::thread one([&] { first = Generate(*client_, Named("first")); });
  EXPECT_TRUE(AwaitFound("first"));
  std::thread two([&] { second = Generate(*client_, Named("second")); });
  EXPECT_TRUE(AwaitFound("second"));
  const Answer third = Generate(*client_, Named("third"));  // the queue holds two
  EXPECT_EQ(third.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_FALSE(Abort("third"));
  OpenGate();
  one.join();
  two.join();
  EXPECT_EQ(first.finished.reason(), v1::FINISH_REASON_CANCELLED);
  EXPECT_EQ(second.finished.reason(), v1::FINISH_REASON_CANCELLED);
}

grpc::ByteBuffer Raw(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

TEST(PeekRequestId, FindsItWhereverItStands) {
  v1::GenerateRequest request = Greedy(std::string(100'000, 'x'), 5);
  EXPECT_EQ(PeekRequestId(ToBytes(request)), "");
  request.set_request_id("me");
  const std::string bytes = request.SerializeAsString();
  EXPECT_EQ(PeekRequestId(Raw(bytes)), "me");
  v1::GenerateRequest last;
  last.set_request_id("another");
  // As protobuf reads it: behind other fields, unknown ones too, and the last one counts.
  const std::string unknown("\xA0\x06\x96\x01\xA5\x06....\xA1\x06........", 4 + 6 + 10);
  EXPECT_EQ(PeekRequestId(Raw(bytes + unknown + last.SerializeAsString())), "another");
  const std::string all = bytes + last.SerializeAsString();
  const grpc::Slice halves[2] = {grpc::Slice(all.substr(0, all.size() - 3)),
                                 grpc::Slice(all.substr(all.size() - 3))};
  EXPECT_EQ(PeekRequestId(grpc::ByteBuffer(halves, 2)), "another");
}

TEST(PeekRequestId, NoiseHasNone) {
  EXPECT_EQ(PeekRequestId(Raw("")), "");
  EXPECT_EQ(PeekRequestId(Raw("\xFF\xFF\xFF")), "");
  EXPECT_EQ(PeekRequestId(Raw("\x0A\x05"
                              "abc")),
            "")
      << "cut short";
  v1::GenerateRequest request;
  request.set_request_id(std::string(200, 'x'));
  EXPECT_EQ(PeekRequestId(ToBytes(request)), "") << "too long to be accepted";
}

}  // namespace
}  // namespace conclave
