#include "cli/resuming_stream.h"

#include <gtest/gtest.h>

#include "coordinator/edge/errors.h"

namespace conclave {
namespace {

constexpr Micros kSecond = 1'000'000;

v1::GenerateRequest Named(const std::string& id) {
  v1::GenerateRequest request;
  request.set_request_id(id);
  request.set_text("x");
  return request;
}

v1::GenerateResponse Tokens(int count) {
  v1::GenerateResponse part;
  for (int i = 0; i < count; ++i) part.add_token_ids(i);
  return part;
}

const grpc::Status kLost(grpc::StatusCode::UNAVAILABLE, "Socket closed");

TEST(ResumingStream, AsksForWhatIsMissing) {
  ResumingStream stream(Named("a"), 30 * kSecond);
  EXPECT_EQ(stream.request().resume_after(), 0);
  stream.Read(Tokens(2));
  stream.Read(Tokens(0));
  stream.Read(Tokens(3));
  ASSERT_TRUE(stream.Ended(kLost, 100).has_value());
  EXPECT_EQ(stream.request().resume_after(), 5);
  EXPECT_EQ(stream.request().request_id(), "a");
  EXPECT_EQ(stream.request().text(), "x");
  stream.Read(Tokens(1));
  ASSERT_TRUE(stream.Ended(kLost, 200).has_value());
  EXPECT_EQ(stream.request().resume_after(), 6);
  EXPECT_EQ(stream.cuts(), 2);
  EXPECT_FALSE(stream.Ended(grpc::Status::OK, 300).has_value());
  EXPECT_TRUE(stream.status().ok());
}

TEST(ResumingStream, WhatWasResumedBeforeIsCounted) {
  v1::GenerateRequest request = Named("a");
  request.set_resume_after(7);
  ResumingStream stream(request, kSecond);
  stream.Read(Tokens(2));
  EXPECT_EQ(stream.request().resume_after(), 9);
}

TEST(ResumingStream, AnAnswerThatIsWholeNeedsNoConnection) {
  ResumingStream stream(Named("a"), 30 * kSecond);
  v1::GenerateResponse last = Tokens(1);
  last.mutable_finished()->set_reason(v1::FINISH_REASON_STOP);
  stream.Read(last);
  EXPECT_FALSE(stream.Ended(kLost, 100).has_value());
  EXPECT_TRUE(stream.status().ok());
}

TEST(ResumingStream, GivesUpWhenNothingCameForTooLong) {
  ResumingStream stream(Named("a"), 3 * kSecond);
  stream.Read(Tokens(1));
  Micros now = 50 * kSecond;
  const Micros broke = now;
  int tries = 0;
  while (const auto wait = stream.Ended(kLost, now)) {
    EXPECT_GT(*wait, 0);
    EXPECT_LE(*wait, kSecond);
    now += *wait;
    ASSERT_LT(++tries, 100);
  }
  EXPECT_LE(now - broke, 3 * kSecond);
  EXPECT_GT(now - broke, 2 * kSecond);
  EXPECT_GT(tries, 4) << "the first waits are short";
  EXPECT_EQ(stream.status().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST(ResumingStream, TheClockStartsAnewWithEveryToken) {
  ResumingStream stream(Named("a"), 2 * kSecond);
  Micros now = 0;
  for (int i = 0; i < 20; ++i) {
    const auto wait = stream.Ended(kLost, now);
    ASSERT_TRUE(wait.has_value()) << i;
    now += *wait + kSecond;
    stream.Read(Tokens(1));
  }
}

TEST(ResumingStream, ZeroMeansNever) {
  ResumingStream stream(Named(""), 0);
  stream.Read(Tokens(1));
  EXPECT_FALSE(stream.Ended(kLost, 100).has_value());
  EXPECT_EQ(stream.status().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(stream.cuts(), 0);
}

TEST(ResumingStream, TheServerSaysHowLongAtLeast) {
  ResumingStream stream(Named("a"), 30 * kSecond);
  EXPECT_GE(stream.Ended(Unavailable("no owner"), 100).value_or(0), kSecond);
}

TEST(ResumingStream, OthersMistakesAreFinal) {
  using Code = grpc::StatusCode;
  for (const Code code : {Code::INVALID_ARGUMENT, Code::CANCELLED, Code::ABORTED, Code::INTERNAL,
                          Code::DEADLINE_EXCEEDED, Code::NOT_FOUND}) {
    ResumingStream stream(Named("a"), 30 * kSecond);
    stream.Read(Tokens(1));
    EXPECT_FALSE(stream.Ended(grpc::Status(code, "x"), 100).has_value());
    EXPECT_EQ(stream.status().error_code(), code);
  }
}

TEST(ResumingStream, AFullQueueIsWaitedForInTheMiddleOnly) {
  ResumingStream fresh(Named("a"), 30 * kSecond);
  EXPECT_FALSE(fresh.Ended(Overloaded("full"), 100).has_value());
  ResumingStream cut(Named("a"), 30 * kSecond);
  cut.Read(Tokens(1));
  ASSERT_TRUE(cut.Ended(kLost, 100).has_value());
  EXPECT_TRUE(cut.Ended(Overloaded("full"), 200).has_value());
  EXPECT_FALSE(cut.Ended(TooLarge("huge"), 300).has_value());
}

TEST(ResumingStream, TheyDoNotComeBackAllAtOnce) {
  ResumingStream one(Named("a"), 30 * kSecond), other(Named("b"), 30 * kSecond);
  EXPECT_NE(one.Ended(kLost, 100), other.Ended(kLost, 100));
}

}  // namespace
}  // namespace conclave
