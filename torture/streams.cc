#include "torture/streams.h"

#include <chrono>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/edge/clock.h"
#include "cli/generate_output.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/client_callback.h"

namespace conclave::torture {
namespace {

constexpr Micros kRetryPause = 50'000;

}  // namespace

// One call. Lives until gRPC is done with it.
class StreamLoad::Call final : public grpc::ClientReadReactor<v1::GenerateResponse> {
 public:
  Call(StreamLoad& load, int stream, v1::GenerateRequest request, Micros limit)
      : load_(load), stream_(stream), request_(std::move(request)) {
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::microseconds(limit));
  }
  void Start() {
    load_.stub_->async()->Generate(&context_, &request_, this);
    StartRead(&part_);
    StartCall();
  }
  void Cancel() { context_.TryCancel(); }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    load_.OnPart(stream_, part_);
    StartRead(&part_);
  }
  void OnDone(const grpc::Status& status) override {
    load_.OnDone(stream_, status);
    delete this;
  }

 private:
  StreamLoad& load_;
  const int stream_;
  const v1::GenerateRequest request_;
  grpc::ClientContext context_;
  v1::GenerateResponse part_;
};

StreamLoad::StreamLoad(std::shared_ptr<grpc::Channel> channel,
                       std::vector<v1::GenerateRequest> asks, Options options)
    : stub_(v1::InferenceService::NewStub(std::move(channel))),
      asks_(std::move(asks)),
      options_(std::move(options)),
      streams_(static_cast<std::size_t>(options_.streams)) {}

StreamLoad::~StreamLoad() {
  CancelAll();
  while (running() > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

void StreamLoad::Start(NextFn next, OverFn over) {
  std::lock_guard lock(mutex_);
  next_ = std::move(next);
  over_ = std::move(over);
  resting_ = false;
  for (int stream = 0; stream < options_.streams; ++stream) AskNext(stream);
}

void StreamLoad::Rest() {
  std::lock_guard lock(mutex_);
  resting_ = true;
}

int StreamLoad::running() const {
  std::lock_guard lock(mutex_);
  int count = 0;
  for (const Stream& stream : streams_) {
    if (stream.call != nullptr || stream.retry_at.has_value()) ++count;
  }
  return count;
}

void StreamLoad::CancelAll() {
  std::lock_guard lock(mutex_);
  resting_ = true;
  cancelled_ = true;
  for (Stream& stream : streams_) {
    stream.retry_at.reset();
    if (stream.call != nullptr) stream.call->Cancel();
  }
}

void StreamLoad::Tick(Micros now) {
  std::lock_guard lock(mutex_);
  for (std::size_t i = 0; i < streams_.size(); ++i) {
    if (!streams_[i].retry_at.has_value() || *streams_[i].retry_at > now) continue;
    streams_[i].retry_at.reset();
    StartCall(static_cast<int>(i));
  }
}

std::vector<Gap> StreamLoad::TakeGaps() {
  std::lock_guard lock(mutex_);
  return std::exchange(gaps_, {});
}

// ---- with the lock held

void StreamLoad::AskNext(int stream) {
  if (resting_) return;
  const std::optional<int> ask = next_(stream);
  if (!ask.has_value()) return;
  Course& course = streams_[static_cast<std::size_t>(stream)].course;
  course = Course{.stream = stream,
                  .ask = *ask,
                  .id = absl::StrCat(options_.id_prefix, "-", stream, "-", asked_++),
                  .began = SteadyMicros()};
  StartCall(stream);
}

void StreamLoad::StartCall(int stream) {
  Stream& entry = streams_[static_cast<std::size_t>(stream)];
  v1::GenerateRequest request = asks_[static_cast<std::size_t>(entry.course.ask)];
  request.set_request_id(entry.course.id);
  if (entry.course.retries > 0) {
    request.set_resume_after(static_cast<int>(entry.course.answer.ids.size()));
  }
  const Micros left = entry.course.began + options_.limit - SteadyMicros();
  entry.call = new Call(*this, stream, std::move(request), left);
  entry.call->Start();
}

// ---- gRPC's threads

void StreamLoad::OnPart(int stream, const v1::GenerateResponse& part) {
  const Micros now = SteadyMicros();
  std::lock_guard lock(mutex_);
  Course& course = streams_[static_cast<std::size_t>(stream)].course;
  Append(part, course.answer);
  if (part.token_ids_size() == 0) return;
  tokens_ += part.token_ids_size();
  if (course.first_token == 0) {
    course.first_token = now;
  } else {
    gaps_.push_back({course.last_token, now, stream});
  }
  course.last_token = now;
}

void StreamLoad::OnDone(int stream, const grpc::Status& status) {
  const Micros now = SteadyMicros();
  std::lock_guard lock(mutex_);
  Stream& entry = streams_[static_cast<std::size_t>(stream)];
  entry.call = nullptr;
  Course& course = entry.course;
  const bool late = now > course.began + options_.limit - kRetryPause;
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE && retries_allowed_ && !late &&
      !cancelled_) {
    ++course.retries;
    ++retries_;
    entry.retry_at = now + kRetryPause;
    return;
  }
  if (!status.ok()) course.error = absl::StrCat(ErrorOf(status).code, ": ", ErrorLine(status));
  if (!cancelled_) over_(course);
  AskNext(stream);
}

}  // namespace conclave::torture
