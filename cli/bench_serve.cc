// `conclave bench serve`: a load, and what its clients saw.
#include <algorithm>
#include <atomic>
#include <fstream>
#include <iostream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/edge/clock.h"
#include "base/status.h"
#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/flags.h"
#include "cli/generate_many.h"
#include "cli/generate_output.h"
#include "cli/interrupt.h"
#include "cli/load.h"
#include "cli/target.h"

namespace conclave {
namespace {

struct BenchFlags {
  TargetFlags target;
  std::string trace;
  double rate = 0;
  int concurrency = 0;
  int requests = 100;
  int prompt = 128;
  int generate = 64;
  std::uint64_t seed = 1;
  Micros retry_for = kRetryForDefault;
};

void AddFlags(CLI::App& app, BenchFlags& flags) {
  app.add_flag("--json")->description("what a bench prints anyway: one JSON object");
  AddTargetFlags(app, flags.target);
  app.add_option("--trace", flags.trace,
                 "when and how long, from a file: Azure's CSV or Mooncake's JSON lines")
      ->type_name("FILE");
  app.add_option("--rate", flags.rate, "requests per second, at random times (Poisson)")
      ->check(CLI::Range(0.0, 1e6));
  app.add_option("--concurrency", flags.concurrency,
                 "requests at one time, the next when one ends (the default: 8); with --rate or "
                 "--trace a bound, 1024 unless given")
      ->check(CLI::Range(1, kConcurrencyMax));
  app.add_option("--requests", flags.requests, "how many")
      ->check(CLI::Range(1, 10'000'000))
      ->capture_default_str();
  app.add_option("--prompt", flags.prompt, "tokens of each prompt, random ones")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app.add_option("--generate", flags.generate, "tokens of each answer")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app.add_option("--seed", flags.seed, "of prompts and times")->capture_default_str();
  AddRetryFlag(app, flags.retry_for);
}

// What the clients saw. Thread-safe.
class Sightings {
 public:
  void Add(std::vector<double> gaps, double ttft_ms, double max_gap_ms, std::int64_t tokens,
           std::int64_t prompt_tokens) {
    std::lock_guard lock(mutex_);
    ++requests_;
    if (tokens > 0) ttft_ms_.push_back(ttft_ms);
    gaps_ms_.insert(gaps_ms_.end(), gaps.begin(), gaps.end());
    max_gap_ms_ = std::max(max_gap_ms_, max_gap_ms);
    tokens_ += tokens;
    prompt_tokens_ += prompt_tokens;
  }
  void Fail(const std::string& why) {
    std::lock_guard lock(mutex_);
    ++requests_;
    ++failed_;
    if (first_error_.empty()) first_error_ = why;
  }
  void Cut(int times) {
    std::lock_guard lock(mutex_);
    cuts_ += times;
  }
  void Late(double ms) {
    std::lock_guard lock(mutex_);
    late_ms_ = std::max(late_ms_, ms);
  }

  nlohmann::ordered_json Json(double wall_s) {
    std::lock_guard lock(mutex_);
    nlohmann::ordered_json object = {
        {"requests", requests_},
        {"failed", failed_},
        {"wall_s", wall_s},
        {"output_tokens_per_second", static_cast<double>(tokens_) / wall_s},
        {"input_tokens_per_second", static_cast<double>(prompt_tokens_) / wall_s},
        {"ttft_ms", {{"p50", QuantileOf(ttft_ms_, 0.5)}, {"p99", QuantileOf(ttft_ms_, 0.99)}}},
        {"inter_token_ms",
         {{"p50", QuantileOf(gaps_ms_, 0.5)},
          {"p99", QuantileOf(gaps_ms_, 0.99)},
          {"max", max_gap_ms_}}},
        {"resumed", cuts_},
        {"sent_late_ms_max", late_ms_}};
    if (!first_error_.empty()) object["first_error"] = first_error_;
    return object;
  }
  bool failed() const { return failed_ > 0; }

 private:
  std::mutex mutex_;
  std::int64_t requests_ = 0, failed_ = 0, tokens_ = 0, prompt_tokens_ = 0;
  std::int64_t cuts_ = 0;  // streams that broke and were taken up again
  std::vector<double> ttft_ms_, gaps_ms_;
  double max_gap_ms_ = 0, late_ms_ = 0;
  std::string first_error_;
};

void AskOnce(Client& client, const v1::GenerateRequest& request, Micros retry_for,
             Sightings& seen) {
  const Micros began = SteadyMicros();
  Micros last = 0;
  double ttft_ms = 0, max_gap_ms = 0;
  std::int64_t tokens = 0;
  std::vector<double> gaps;
  const auto read = [&](const v1::GenerateResponse& part) {
    const int count = part.token_ids_size();
    if (count == 0) return;
    const Micros now = SteadyMicros();
    if (tokens == 0) {
      ttft_ms = static_cast<double>(now - began) / 1e3;
    } else {
      // Tokens that came together share the time since the last ones.
      const double gap = static_cast<double>(now - last) / 1e3;
      gaps.insert(gaps.end(), static_cast<std::size_t>(count), gap / count);
      max_gap_ms = std::max(max_gap_ms, gap);
    }
    last = now;
    tokens += count;
  };
  const AskResult result = Ask(client, request, retry_for, read);
  seen.Cut(result.cuts);
  if (!result.status.ok()) return seen.Fail(ErrorLine(result.status));
  seen.Add(std::move(gaps), ttft_ms, max_gap_ms, tokens, request.token_ids().ids_size());
}

v1::GenerateRequest RequestOf(const LoadItem& item, std::uint64_t index, int vocab,
                              std::uint64_t seed) {
  v1::GenerateRequest request;
  const std::vector<std::int32_t> prompt = PromptOf(item, index, vocab, seed);
  request.mutable_token_ids()->mutable_ids()->Assign(prompt.begin(), prompt.end());
  request.mutable_stop()->set_max_tokens(item.generate_tokens);
  request.mutable_stop()->set_ignore_eos(true);
  request.mutable_sampling()->set_temperature(0);
  return request;
}

absl::StatusOr<std::vector<LoadItem>> ItemsFor(const BenchFlags& flags) {
  if (flags.trace.empty()) {
    LoadItem like;
    like.prompt_tokens = flags.prompt;
    like.generate_tokens = flags.generate;
    return PoissonLoad(flags.requests, flags.rate, like, flags.seed);
  }
  std::ifstream file(flags.trace, std::ios::binary);
  if (!file) return absl::NotFoundError(absl::StrCat("cannot read ", flags.trace, " (--trace)"));
  std::ostringstream text;
  text << file.rdbuf();
  return ParseTrace(text.str(), flags.requests);
}

void RunLoad(Client& client, const std::vector<LoadItem>& items, int threads, int vocab,
             const BenchFlags& flags, Sightings& seen) {
  std::atomic<std::size_t> next{0};
  const Micros began = SteadyMicros();
  const auto work = [&] {
    for (std::size_t i = next++; i < items.size() && Interrupts() == 0; i = next++) {
      const v1::GenerateRequest request = RequestOf(items[i], i, vocab, flags.seed);
      const Micros wait = items[i].at - (SteadyMicros() - began);
      if (wait > 0) {
        if (WaitForInterrupt(wait)) return;
      } else if (items[i].at > 0) {
        seen.Late(static_cast<double>(-wait) / 1e3);
      }
      AskOnce(client, request, flags.retry_for, seen);
    }
  };
  std::vector<std::thread> pool;
  for (int i = 0; i < threads; ++i) pool.emplace_back(work);
  for (std::thread& thread : pool) thread.join();
}

}  // namespace

int RunBenchServe(int argc, const char* const* argv) {
  CLI::App app("Loads a cluster and reports what its clients saw, as one JSON object.", argv[0]);
  BenchFlags flags;
  AddFlags(app, flags);
  if (const auto code = ParseFlags(app, argc, argv)) return *code;
  if (!flags.trace.empty() && flags.rate > 0) {
    SayError(argv[0], "--trace and --rate exclude one another");
    return kExitUsage;
  }
  auto items = ItemsFor(flags);
  if (!items.ok()) return Fail(argv[0], items.status());
  const bool open_loop = flags.rate > 0 || !flags.trace.empty();
  if (flags.concurrency == 0) flags.concurrency = open_loop ? kConcurrencyMax : 8;
  const int threads =
      static_cast<int>(std::min(items->size(), static_cast<std::size_t>(flags.concurrency)));

  WatchInterrupts();
  auto target = OpenTarget(flags.target);
  if (absl::IsCancelled(target.status())) return kExitInterrupted;
  if (!target.ok()) return Fail(argv[0], target.status());
  const auto model = target->client->ModelInfo();
  if (!model.ok()) return Fail(argv[0], model.status());
  const int cut = FitInto(model->context(), *items);
  Sightings seen;
  const Micros began = SteadyMicros();
  {
    const OnInterrupt cancel([&] { target->client->CancelRunning(); });
    RunLoad(*target->client, *items, threads, model->vocab_size(), flags, seen);
  }
  auto result = seen.Json(static_cast<double>(SteadyMicros() - began) / 1e6);
  result["cut_to_context"] = cut;
  std::cout << result.dump() << std::endl;
  if (Interrupts() > 0) return kExitInterrupted;
  return seen.failed() ? kExitFailed : kExitDone;
}

}  // namespace conclave
