#include "coordinator/requests.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace conclave {
namespace {

std::unique_ptr<Request> RequestOf(Micros arrived, std::uint64_t id) {
  auto request = std::make_unique<Request>();
  request->order = {arrived, RequestId{id}};
  request->name = absl::StrCat("r", id);
  request->tokens.assign(40, 1);
  request->prompt_tokens = 40;
  request->length_max = 50;
  return request;
}

TEST(Requests, TheOrderIsArrivalThenId) {
  RequestTable table;
  Request& late = table.Add(RequestOf(9, 1));
  Request& second = table.Add(RequestOf(5, 3));
  Request& first = table.Add(RequestOf(5, 2));
  EXPECT_EQ(table.waiting().begin()->second, &first);
  EXPECT_EQ(table.waiting_tokens(), 120);
  table.Run(late);
  table.Run(first);
  table.Run(second);
  EXPECT_EQ(table.running(), (std::vector<Request*>{&first, &second, &late}));
  table.Wait(second);
  EXPECT_EQ(table.waiting_tokens(), 40);
  table.CheckInvariants();
  second.Finish({.end = End::kStop});
  table.Remove(second);
  EXPECT_EQ(table.Find(RequestId{3}), nullptr);
  EXPECT_EQ(table.FindNamed("r3"), nullptr);
  EXPECT_EQ(table.All(), (std::vector<RequestId>{RequestId{2}, RequestId{1}}));
  table.CheckInvariants();
}

TEST(RequestsDeathTest, ARequestEndsOnceAndNeverWithoutAReason) {
  RequestTable table;
  Request& request = table.Add(RequestOf(1, 1));
  EXPECT_DEATH(table.Remove(request), "without an ending");
  request.Finish({.end = End::kStop});
  EXPECT_DEATH(request.Finish({.end = End::kLength}), "ended twice");
  EXPECT_DEATH(table.Add(RequestOf(2, 1)), "live already");
}

TEST(Requests, WhatCanBePlanned) {
  const auto request = RequestOf(1, 1);
  EXPECT_EQ(request->plannable(), 40);
  EXPECT_FALSE(request->decoding());
  request->planned = 40;
  request->in_flight = 1;
  EXPECT_EQ(request->plannable(), 1);
  EXPECT_TRUE(request->decoding());
  // The last token is sampled, never fed.
  request->in_flight = 10;
  request->planned = 49;
  EXPECT_EQ(request->plannable(), 0);
}

}  // namespace
}  // namespace conclave
