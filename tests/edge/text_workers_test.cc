#include "coordinator/edge/text_workers.h"

#include <gtest/gtest.h>

#include <future>
#include <map>
#include <set>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "text/toy_text.h"

namespace conclave {
namespace {

// What a client reads, and from which thread.
class Reading final : public ClientStream {
 public:
  void Deliver(StreamPart& part) override {
    threads.insert(std::this_thread::get_id());
    ids.insert(ids.end(), part.ids.begin(), part.ids.end());
    text += part.text;
    if (!part.ending.has_value()) return;
    endings.push_back(part.ending->end);
    over.set_value();
  }
  void Pump() override { ++pumps; }
  void Abort() override {}

  std::set<std::thread::id> threads;
  std::vector<TokenId> ids;
  std::string text;
  std::vector<End> endings;
  int pumps = 0;
  std::promise<void> over;
};

class TextWorkersTest : public testing::Test {
 protected:
  TextWorkersTest()
      : text_(MakeToyText()),
        workers_({.threads = 3,
                  .text = text_.get(),
                  .metrics = metrics_,
                  .ended =
                      [this](RequestId stream) {
                        std::lock_guard lock(mutex_);
                        ended_.insert(stream);
                      },
                  .judged =
                      [this](const TextJudged& judged) {
                        std::lock_guard lock(mutex_);
                        judged_[judged.request] = judged;
                        if (judged.request == awaited_) verdict_.set_value();
                      }}) {}

  RequestId Begin(const std::string& name, const std::shared_ptr<Reading>& reading,
                  std::vector<std::string> stops = {}) {
    const RequestId number = workers_.NumberOf(++count_, name);
    workers_.Add(TellText{number, TextBegin{.stream = number, .rules = {.stops = stops}}},
                 {.stream = reading, .asked_at = 1}, 1);
    return number;
  }
  void Token(RequestId request, TokenId id) {
    workers_.Add(TellText{request, TextToken{.id = id}}, {}, 2);
  }
  void Finish(RequestId request, End end) {
    workers_.Add(TellText{request, TextEnding{.ending = {.end = end}}}, {}, 3);
  }

  Metrics metrics_;
  std::unique_ptr<Text> text_;
  std::mutex mutex_;
  std::set<RequestId> ended_;
  std::map<RequestId, TextJudged> judged_;
  RequestId awaited_;
  std::promise<void> verdict_;
  std::uint64_t count_ = 0;
  TextWorkers workers_;
};

TEST_F(TextWorkersTest, ManyStreamsEachInOrderAndOfOneThread) {
  constexpr int kStreams = 60, kTokens = 200;
  std::vector<std::shared_ptr<Reading>> readings;
  std::vector<RequestId> requests;
  for (int i = 0; i < kStreams; ++i) {
    readings.push_back(std::make_shared<Reading>());
    requests.push_back(Begin(absl::StrCat("r", i), readings.back()));
  }
  for (int token = 0; token < kTokens; ++token) {
    for (int i = 0; i < kStreams; ++i) Token(requests[i], 'a' + (token + i) % 26);
    workers_.Flush();
  }
  for (const RequestId request : requests) Finish(request, End::kLength);
  workers_.Flush();
  std::set<std::thread::id> threads;
  for (int i = 0; i < kStreams; ++i) {
    readings[i]->over.get_future().wait();
    ASSERT_EQ(readings[i]->ids.size(), static_cast<std::size_t>(kTokens));
    for (int token = 0; token < kTokens; ++token) {
      ASSERT_EQ(readings[i]->ids[token], 'a' + (token + i) % 26);
      ASSERT_EQ(readings[i]->text[token], 'a' + (token + i) % 26);
    }
    EXPECT_EQ(readings[i]->threads.size(), 1u);
    threads.insert(*readings[i]->threads.begin());
    EXPECT_EQ(readings[i]->endings, std::vector{End::kLength});
    EXPECT_TRUE(ended_.contains(requests[i]));
  }
  EXPECT_EQ(threads.size(), 3u);
  EXPECT_FALSE(threads.contains(std::this_thread::get_id()));
}

TEST_F(TextWorkersTest, AllStreamsOfANameAreOfOneWorker) {
  for (int name = 0; name < 50; ++name) {
    const std::string id = absl::StrCat("r", name);
    const RequestId first = workers_.NumberOf(++count_, id);
    const RequestId second = workers_.NumberOf(++count_, id);
    EXPECT_EQ(first.value % 3, second.value % 3);
    EXPECT_LT(first, second);
  }
}

TEST_F(TextWorkersTest, AnotherStreamTakesOver) {
  const auto old = std::make_shared<Reading>();
  const auto fresh = std::make_shared<Reading>();
  const RequestId request = Begin("r", old);
  for (const char c : {'a', 'b', 'c'}) Token(request, c);
  const RequestId stream = workers_.NumberOf(++count_, "r");
  workers_.Add(
      TellText{request, TextStreamChange{.stream = stream,
                                         .delivered_before = 1,
                                         .old_ending = {.end = End::kReplaced}}},
      {.stream = fresh, .asked_at = 2}, 2);
  Token(request, 'd');
  Finish(request, End::kLength);
  workers_.Flush();
  fresh->over.get_future().wait();
  EXPECT_EQ(old->text, "abc");
  EXPECT_EQ(old->endings, std::vector{End::kReplaced});
  EXPECT_EQ(fresh->text, "bcd");
  EXPECT_EQ(ended_, (std::set<RequestId>{request, stream}));
}

TEST_F(TextWorkersTest, WhoLeftIsEndedOnceAndReadsNoMore) {
  const auto reading = std::make_shared<Reading>();
  const RequestId request = Begin("r", reading, {"~"});
  Token(request, 'a');
  workers_.AddLeft(request, 2);
  workers_.Flush();
  reading->over.get_future().wait();
  Token(request, 'b');
  Finish(request, End::kCancelled);
  workers_.AddLeft(request, 4);
  workers_.Flush();
  workers_.Stop();
  EXPECT_EQ(reading->text, "a");
  EXPECT_EQ(reading->endings, std::vector{End::kCancelled});
}

TEST_F(TextWorkersTest, OneThatNeverBecameARequestHearsWhy) {
  const auto reading = std::make_shared<Reading>();
  const RequestId stream = workers_.NumberOf(++count_, "r");
  TellClient tell{stream, {}};
  tell.part.ending.emplace().end = End::kRefused;
  workers_.Add(std::move(tell), {.stream = reading, .asked_at = 1}, 1);
  workers_.Flush();
  reading->over.get_future().wait();
  EXPECT_EQ(reading->endings, std::vector{End::kRefused});
  EXPECT_TRUE(ended_.contains(stream));
}

TEST_F(TextWorkersTest, WhatAStageFindsIsToldAndTheEndingIsTheCores) {
  const auto reading = std::make_shared<Reading>();
  const RequestId request = Begin("r", reading, {"bc"});
  awaited_ = request;
  for (const char c : {'a', 'b', 'c', 'd'}) Token(request, c);
  workers_.Flush();
  verdict_.get_future().wait();
  EXPECT_EQ(judged_.at(request).stop->completion_tokens, 3);
  EXPECT_EQ(judged_.at(request).stop->stop, "bc");
  Finish(request, End::kStop);
  workers_.Flush();
  reading->over.get_future().wait();
  EXPECT_EQ(reading->text, "a");
  EXPECT_EQ(reading->ids, (std::vector<TokenId>{'a', 'b', 'c'}));
}

TEST_F(TextWorkersTest, AtShutdownStreamsAreEndedWhateverTheirRequestsDo) {
  const auto reading = std::make_shared<Reading>();
  const RequestId request = Begin("r", reading);
  workers_.Flush();
  workers_.End(request, reading, {.end = End::kUnavailable});
  reading->over.get_future().wait();
  Token(request, 'a');
  workers_.Flush();
  workers_.Pump(request, reading);
  workers_.Stop();
  EXPECT_EQ(reading->endings, std::vector{End::kUnavailable});
  EXPECT_EQ(reading->text, "");
  EXPECT_EQ(reading->pumps, 1);
}

}  // namespace
}  // namespace conclave
