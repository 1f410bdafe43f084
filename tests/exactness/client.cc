#include "tests/exactness/client.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <numeric>
#include <thread>
#include <utility>

#include "base/edge/clock.h"
#include "base/philox.h"
#include "cli/resuming_stream.h"
#include "grpcpp/grpcpp.h"

namespace conclave {
namespace {

constexpr auto kLong = std::chrono::seconds(200);
constexpr Micros kPatience = 100'000'000;

template <typename Repeated>
void Append(const Repeated& from, std::vector<TokenLogprob>& to) {
  for (const v1::TokenLogprob& entry : from) {
    TokenLogprob one{.id = entry.token_id(), .logprob = entry.logprob(), .top = {}};
    for (const v1::TopLogprob& top : entry.top()) {
      one.top.push_back({.id = top.token_id(), .logprob = top.logprob()});
    }
    to.push_back(std::move(one));
  }
}

void Gather(const v1::GenerateResponse& response, Answer& answer, int& endings) {
  Stream& stream = answer.stream;
  stream.ids.insert(stream.ids.end(), response.token_ids().begin(), response.token_ids().end());
  stream.text += response.text();
  Append(response.logprobs(), stream.logprobs);
  Append(response.prompt_logprobs(), stream.prompt_logprobs);
  if (!response.has_finished()) return;
  ++endings;
  const v1::Finished& finished = response.finished();
  stream.reason = finished.reason();
  stream.stop_string = finished.stop_string();
  stream.routed = finished.routed_experts().data();
  stream.prompt_tokens = finished.usage().prompt_tokens();
  stream.completion_tokens = finished.usage().completion_tokens();
  answer.cached_prompt_tokens = finished.usage().cached_prompt_tokens();
}

Answer Ask(v1::InferenceService::Stub& client, const v1::GenerateRequest& request,
           const OnTokens& on_tokens, Micros retry_for) {
  Answer answer;
  ResumingStream stream(request, retry_for);
  int endings = 0;
  for (;;) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kLong);
    context.set_wait_for_ready(stream.cuts() > 0);  // only who waits makes a connection
    const auto reader = client.Generate(&context, stream.request());
    v1::GenerateResponse response;
    while (reader->Read(&response)) {
      stream.Read(response);
      Gather(response, answer, endings);
      on_tokens(response.token_ids_size());
    }
    const auto wait = stream.Ended(reader->Finish(), SteadyMicros());
    if (!wait.has_value()) break;
    if (!answer.stream.ids.empty()) ++answer.cuts;
    std::this_thread::sleep_for(std::chrono::microseconds(*wait));
  }
  if (!stream.status().ok()) {
    answer.stream.error = stream.status().error_message() + " (not OK)";
  } else if (endings != 1) {
    answer.stream.error = std::to_string(endings) + " terminal messages";
  }
  return answer;
}

// Lets clients in by what the others have received, not by a clock.
class Gate {
 public:
  void Enter(int tokens_before) {
    std::unique_lock lock(mutex_);
    moved_.wait(lock, [&] { return tokens_ >= tokens_before || running_ == 0; });
    ++running_;
  }
  void Count(int tokens) {
    std::lock_guard lock(mutex_);
    tokens_ += tokens;
    moved_.notify_all();
  }
  void Leave() {
    std::lock_guard lock(mutex_);
    --running_;
    moved_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable moved_;
  int tokens_ = 0, running_ = 0;
};

}  // namespace

Answer Ask(v1::InferenceService::Stub& client, const v1::GenerateRequest& request) {
  return Ask(
      client, request, [](int) {}, /*retry_for=*/0);
}

Answer AskPatiently(v1::InferenceService::Stub& client, const v1::GenerateRequest& request,
                    const OnTokens& on_tokens) {
  return Ask(client, request, on_tokens, kPatience);
}

std::vector<Answer> AskInTurn(v1::InferenceService::Stub& client,
                              const std::vector<v1::GenerateRequest>& requests) {
  std::vector<Answer> answers;
  for (const v1::GenerateRequest& request : requests) answers.push_back(Ask(client, request));
  return answers;
}

std::vector<Answer> AskTogether(v1::InferenceService::Stub& client,
                                const std::vector<v1::GenerateRequest>& requests,
                                std::uint64_t seed) {
  Rng rng(seed);
  std::vector<std::size_t> order(requests.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.Below(i)]);

  Gate gate;
  std::vector<Answer> answers(requests.size());
  std::vector<std::thread> threads;
  int tokens_before = 0;
  for (const std::size_t request : order) {
    threads.emplace_back([&, request, tokens_before] {
      gate.Enter(tokens_before);
      answers[request] = Ask(
          client, requests[request], [&gate](int tokens) { gate.Count(tokens); }, 0);
      gate.Leave();
    });
    // Often none: several arrive in one step.
    tokens_before += rng.Below(2) == 0 ? 0 : static_cast<int>(rng.Below(6));
  }
  for (std::thread& thread : threads) thread.join();
  return answers;
}

}  // namespace conclave
