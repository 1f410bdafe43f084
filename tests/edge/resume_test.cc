// A client that comes back for the rest of an answer, over gRPC.
#include <gtest/gtest.h>

#include <string>

#include "rig.h"

namespace conclave {
namespace {

v1::GenerateRequest Tale(const std::string& id, int max_tokens) {
  v1::GenerateRequest request = Greedy("Once upon a time there was a king", max_tokens);
  request.set_request_id(id);
  request.mutable_sampling()->clear_temperature();  // sampled; the seed is made of the id
  request.mutable_output()->set_logprobs(1);
  return request;
}

// One call that reads a part of its answer.
class HalfRead {
 public:
  HalfRead(v1::InferenceService::Stub& client, const v1::GenerateRequest& request)
      : reader_(client.Generate(&context_, request)) {}
  void Read(int tokens) {
    v1::GenerateResponse response;
    while (static_cast<int>(answer_.ids.size()) < tokens && reader_->Read(&response)) {
      Gather(response, answer_);
    }
  }
  grpc::Status Rest() {
    v1::GenerateResponse response;
    while (reader_->Read(&response)) Gather(response, answer_);
    return reader_->Finish();
  }
  void Leave() { context_.TryCancel(); }
  const Answer& answer() const { return answer_; }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::GenerateResponse>> reader_;
  Answer answer_;
};

void ExpectWhole(const Answer& whole, const Answer& first, const Answer& rest) {
  Answer both = first;
  both.ids.insert(both.ids.end(), rest.ids.begin(), rest.ids.end());
  both.logprobs.insert(both.logprobs.end(), rest.logprobs.begin(), rest.logprobs.end());
  EXPECT_EQ(both.ids, whole.ids);
  EXPECT_EQ(both.logprobs, whole.logprobs);
  EXPECT_EQ(both.text + rest.text, whole.text);
  EXPECT_EQ(rest.finished.reason(), whole.finished.reason());
  EXPECT_EQ(rest.finished.usage().completion_tokens(), whole.finished.usage().completion_tokens());
}

TEST(Resume, AnAnswerIsTheSameUnderTheSameIdAndGoesOnAnywhere) {
  Rig rig;
  const Answer whole = Generate(rig.client(), Tale("a", 40));
  ASSERT_TRUE(whole.status.ok()) << whole.status.error_message();
  ASSERT_EQ(whole.ids.size(), 40u);
  EXPECT_NE(Generate(rig.client(), Tale("b", 40)).ids, whole.ids) << "another id, another seed";
  for (const int has : {0, 1, 17, 39, 40, 41}) {
    v1::GenerateRequest request = Tale("a", 40);
    request.set_resume_after(has);
    const Answer rest = Generate(rig.client(), request);
    ASSERT_TRUE(rest.status.ok()) << rest.status.error_message();
    EXPECT_EQ(rest.finished_messages, 1);
    const auto from = static_cast<std::ptrdiff_t>(std::min(has, 40));
    EXPECT_EQ(rest.ids, std::vector<int>(whole.ids.begin() + from, whole.ids.end()));
    EXPECT_EQ(rest.logprobs,
              std::vector<float>(whole.logprobs.begin() + from, whole.logprobs.end()));
    EXPECT_TRUE(whole.text.ends_with(rest.text));
    EXPECT_EQ(rest.finished.usage().completion_tokens(), 40);
  }
}

TEST(Resume, WhoLeftComesBack) {
  Rig rig;
  const Answer whole = Generate(rig.client(), Tale("a", 60));
  HalfRead first(rig.client(), Tale("a", 60));
  first.Read(20);
  first.Leave();
  const int has = static_cast<int>(first.answer().ids.size());
  v1::GenerateRequest request = Tale("a", 60);
  request.set_resume_after(has);
  const Answer rest = Generate(rig.client(), request);
  ASSERT_TRUE(rest.status.ok()) << rest.status.error_message();
  ExpectWhole(whole, first.answer(), rest);
}

TEST(Resume, ALiveRequestIsTakenOver) {
  Rig rig;
  const Answer whole = Generate(rig.client(), Tale("a", 400));
  HalfRead first(rig.client(), Tale("a", 400));
  first.Read(5);
  const Answer read = first.answer();
  v1::GenerateRequest request = Tale("a", 400);
  request.set_resume_after(static_cast<int>(read.ids.size()));
  HalfRead second(rig.client(), request);
  second.Read(1);
  const grpc::Status old = first.Rest();
  EXPECT_EQ(old.error_code(), grpc::StatusCode::ABORTED) << old.error_message();
  EXPECT_EQ(FactsOf(old).reason, "REPLACED");
  first.Leave();
  EXPECT_TRUE(second.Rest().ok());
  ExpectWhole(whole, read, second.answer());
  EXPECT_TRUE(rig.AwaitLoad([](const auto& load) { return load.requests_running() == 0; }));
}

TEST(Resume, AnotherQuestionUnderALiveIdIsRefused) {
  Rig rig;
  HalfRead first(rig.client(), Tale("a", 2000));
  first.Read(1);
  v1::GenerateRequest other = Tale("a", 2000);
  other.mutable_sampling()->set_top_k(3);
  const Answer refused = Generate(rig.client(), other);
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(FactsOf(refused.status).field, "request_id");
  first.Read(10);
  EXPECT_GE(first.answer().ids.size(), 10u) << "the live one was not touched";
  first.Leave();
  EXPECT_EQ(first.Rest().error_code(), grpc::StatusCode::CANCELLED);
}

}  // namespace
}  // namespace conclave
