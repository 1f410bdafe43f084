#include "cli/bench_streams.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/edge/credentials.h"
#include "cli/load.h"

namespace conclave {

class BenchStreams::Stream final : public grpc::ClientReadReactor<v1::GenerateResponse> {
 public:
  Stream(BenchStreams& all, v1::InferenceService::Stub& stub, v1::GenerateRequest request)
      : all_(all), request_(std::move(request)) {
    stub.async()->Generate(&context_, &request_, this);
    StartRead(&response_);
    StartCall();
  }
  void Cancel() { context_.TryCancel(); }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    if (tokens_ == 0 && response_.token_ids_size() > 0) all_.Began();
    tokens_ += response_.token_ids_size();
    StartRead(&response_);
  }
  void OnDone(const grpc::Status& status) override {
    all_.Ended(status, tokens_, request_.stop().max_tokens());
  }

 private:
  BenchStreams& all_;
  grpc::ClientContext context_;
  const v1::GenerateRequest request_;
  v1::GenerateResponse response_;
  int tokens_ = 0;
};

BenchStreams::BenchStreams(const CoordinatorBench& bench, const std::string& address)
    : bench_(bench) {
  for (int i = 0; i < kConnections; ++i) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    stubs_.push_back(v1::InferenceService::NewStub(
        grpc::CreateCustomChannel(address, ChannelCredentialsFor(), arguments)));
  }
}

BenchStreams::~BenchStreams() {
  Cancel();
  AwaitAllEnds(60'000'000);
}

void BenchStreams::Start(int wave, int max_tokens) {
  for (int i = 0; i < bench_.streams; ++i) {
    LoadItem item;
    item.prompt_tokens = bench_.prompt;
    const auto index = static_cast<std::uint64_t>(wave * bench_.streams + i);
    const std::vector<std::int32_t> prompt =
        PromptOf(item, index, bench_.facts.vocab, bench_.seed);
    v1::GenerateRequest request;
    request.set_request_id(absl::StrCat("bench-", wave, "-", i));
    request.mutable_token_ids()->mutable_ids()->Assign(prompt.begin(), prompt.end());
    request.mutable_stop()->set_max_tokens(max_tokens);
    request.mutable_stop()->set_ignore_eos(true);
    request.mutable_sampling()->set_temperature(0);
    v1::InferenceService::Stub& stub = *stubs_[static_cast<std::size_t>(i % kConnections)];
    {
      std::lock_guard lock(mutex_);
      ++started_;
    }
    auto stream = std::make_unique<Stream>(*this, stub, std::move(request));
    std::lock_guard lock(mutex_);
    streams_.push_back(std::move(stream));
  }
}

void BenchStreams::Began() {
  std::lock_guard lock(mutex_);
  if (++with_tokens_ == started_) wake_.notify_all();
}

void BenchStreams::Ended(const grpc::Status& status, int tokens, int wanted) {
  std::lock_guard lock(mutex_);
  ++ended_;
  const bool as_wanted =
      status.ok() ? tokens == wanted
                  : cancelled_ && status.error_code() == grpc::StatusCode::CANCELLED;
  if (!as_wanted && failures_++ == 0) {
    first_failure_ = absl::StrCat("a stream ended with ", tokens, " of ", wanted, " tokens: ",
                                  status.error_message());
  }
  wake_.notify_all();
}

template <typename Fits>
bool BenchStreams::Await(Micros timeout, Fits fits) {
  std::unique_lock lock(mutex_);
  return wake_.wait_for(lock, std::chrono::microseconds(timeout), fits);
}

bool BenchStreams::AwaitFirstTokens(Micros timeout) {
  return Await(timeout, [this] { return with_tokens_ == started_; });
}

bool BenchStreams::AwaitAnEnd(Micros timeout) {
  return Await(timeout, [this] { return ended_ > 0; });
}

bool BenchStreams::AwaitAllEnds(Micros timeout) {
  return Await(timeout, [this] { return ended_ == started_; });
}

void BenchStreams::Cancel() {
  std::vector<Stream*> streams;
  {
    std::lock_guard lock(mutex_);
    cancelled_ = true;
    for (const auto& stream : streams_) streams.push_back(stream.get());
  }
  for (Stream* stream : streams) stream->Cancel();
}

std::int64_t BenchStreams::with_tokens() const {
  std::lock_guard lock(mutex_);
  return with_tokens_;
}

std::uint64_t BenchStreams::failures() const {
  std::lock_guard lock(mutex_);
  return failures_;
}

std::string BenchStreams::first_failure() const {
  std::lock_guard lock(mutex_);
  return first_failure_;
}

}  // namespace conclave
