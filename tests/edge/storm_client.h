// Many calls at once from one thread: each counts how it ended.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "rig.h"

namespace conclave {

// Waits for the last of so many calls.
class StormFront {
 public:
  explicit StormFront(int calls) : left_(calls) {}
  void OneEnded() {
    std::lock_guard lock(mutex_);
    if (--left_ == 0) over_.notify_all();
  }
  bool Await() {  // false after a long time
    std::unique_lock lock(mutex_);
    return over_.wait_for(lock, std::chrono::seconds(60), [this] { return left_ <= 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable over_;
  int left_;
};

// One Generate, begun on construction. Read what it was told after the front's Await only.
class StormCall final : public grpc::ClientReadReactor<v1::GenerateResponse> {
 public:
  StormCall(v1::InferenceService::Stub& client, const v1::GenerateRequest& request,
            StormFront& front)
      : front_(front) {
    client.async()->Generate(&context_, &request, this);  // serialized before this returns
    StartRead(&response_);
    StartCall();
  }
  const Answer& answer() const { return answer_; }
  int endings() const { return endings_; }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    Gather(response_, answer_);
    StartRead(&response_);
  }
  void OnDone(const grpc::Status& status) override {
    answer_.status = status;
    ++endings_;
    front_.OneEnded();
  }

 private:
  StormFront& front_;
  grpc::ClientContext context_;
  v1::GenerateResponse response_;
  Answer answer_;
  int endings_ = 0;
};

}  // namespace conclave
