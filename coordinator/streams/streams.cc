#include "coordinator/streams/streams.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "coordinator/admission.h"

namespace conclave {
namespace {

Timing TimingOf(Request& request, Micros ended) {
  const Micros arrived = request.order.arrived;
  Timing timing{.queue = request.first_planned.value_or(ended) - arrived,
                .first_token = request.first_token.has_value() ? *request.first_token - arrived : 0,
                .total = ended - arrived};
  if (!request.gaps.empty()) {
    const auto middle = request.gaps.begin() + static_cast<std::ptrdiff_t>(request.gaps.size() / 2);
    timing.gap_max = *std::ranges::max_element(request.gaps);
    std::ranges::nth_element(request.gaps, middle);
    timing.gap_p50 = *middle;
  }
  return timing;
}

void NoteTime(Request& request, Micros now) {
  if (!request.first_token.has_value()) request.first_token = now;
  if (request.last_token.has_value()) request.gaps.push_back(now - *request.last_token);
  request.last_token = now;
}

TextToken TokenOf(Request& request, const SampledToken& sampled) {
  TextToken token{.id = sampled.token};
  if (request.sampling.logprobs.has_value()) token.logprob = sampled.logprob;
  token.prompt_logprobs = std::move(request.prompt_logprobs);
  return token;
}

// Why the request ends with its newest token, if the token says so by itself.
std::optional<Ending> Judge(const Request& request) {
  const TokenId token = request.tokens.back();
  if (std::ranges::binary_search(request.sampling.stop_ids, token)) {
    return Ending{.end = End::kStop, .stop_id = token};
  }
  if (static_cast<std::int32_t>(request.tokens.size()) < request.length_max) return std::nullopt;
  return Ending{.end = End::kLength};
}

// Why the request cannot have another token: it did not say how long it may get, and no worker that
// it may live on holds one more block. Looked at whenever the next token needs another block.
std::optional<Ending> Outgrown(const CoordinatorState& state, Request& request) {
  if (request.max_tokens_given || request.tokens.size() % kKvBlockTokens != 1) return std::nullopt;
  std::int64_t blocks_max = 0;
  for (const Slot slot : state.live) {
    const Home& home = state.HomeAt(slot);
    if (home.draining && slot != request.home) continue;
    blocks_max = std::max<std::int64_t>(blocks_max, home.blocks.total());
  }
  return FitToKv(request, blocks_max);
}

// The request ended with an earlier token than the newest, which nobody knew: what came after it
// never was. The time at which it ended.
Micros CutAfter(Request& request, std::int32_t completion_tokens) {
  CONCLAVE_CHECK(0 < completion_tokens && completion_tokens <= request.usage.completion_tokens,
                 "%d of %d tokens", completion_tokens, request.usage.completion_tokens);
  request.usage.completion_tokens = completion_tokens;
  request.gaps.resize(static_cast<std::size_t>(completion_tokens - 1));
  // The last token is never fed.
  const std::int32_t positions = request.prompt_tokens + completion_tokens - 1;
  if (request.routed_positions > positions) {
    const auto per_position =
        request.routed.size() / static_cast<std::size_t>(request.routed_positions);
    request.routed.resize(per_position * static_cast<std::size_t>(positions));
    request.routed_positions = positions;
  }
  return std::accumulate(request.gaps.begin(), request.gaps.end(), *request.first_token);
}

// Its sequences are closed, its blocks are free, what they hold may be shared.
void LeaveWorkers(CoordinatorState& state, Request& request) {
  if (request.state != RequestState::kRunning) return;
  PublishBlocks(state, request, request);
  PutDown(state, request);
}

// The last order to its text stage. The request is destroyed.
void Conclude(CoordinatorState& state, Request& request, std::optional<TextToken> last,
              CoordinatorOutbox& outbox) {
  CountEnding(state, request.ending->end);
  // Of one with stop strings it was not known before which tokens count.
  if (request.HasStopStrings()) {
    state.totals.emitted_tokens += static_cast<std::uint64_t>(request.usage.completion_tokens);
  }
  outbox.push_back(TellText{request.order.id, TextEnding{.last = std::move(last),
                                                         .ending = *request.ending,
                                                         .routed = std::move(request.routed)}});
  state.requests.Remove(request);
}

// Ends the request, for all that the core knows: with `last`, or with the token before when that is
// unset.
void EndWith(CoordinatorState& state, Request& request, Micros now, Ending ending,
             std::optional<TextToken> last, CoordinatorOutbox& outbox) {
  LeaveWorkers(state, request);
  ending.usage = request.usage;
  if (!request.HasStopStrings()) {
    ending.timing = TimingOf(request, now);
    request.Finish(std::move(ending));
    return Conclude(state, request, std::move(last), outbox);
  }
  TextProposal proposal{.last = std::move(last), .stop_id = ending.stop_id};
  outbox.push_back(TellText{request.order.id, std::move(proposal)});
  request.proposal = std::move(ending);
  request.proposed = now;
  state.requests.AwaitText(request);
}

}  // namespace

void BeginStream(const Request& request, CoordinatorOutbox& outbox) {
  TextRules rules{.stops = request.stops,
                  .include_stop_in_text = request.include_stop_in_text,
                  .skip_special = request.skip_special,
                  .min_tokens = request.sampling.min_tokens};
  outbox.push_back(TellText{request.order.id, TextBegin{.stream = request.reader.stream,
                                                        .delivered_before = request.reader.has,
                                                        .rules = std::move(rules)}});
}

void Emit(CoordinatorState& state, Request& request, const Emission& emission,
          CoordinatorOutbox& outbox) {
  request.tokens.push_back(emission.sampled.token);
  ++request.usage.completion_tokens;
  if (!request.HasStopStrings()) ++state.totals.emitted_tokens;
  NoteTime(request, emission.now);
  TextToken token = TokenOf(request, emission.sampled);
  if (std::optional<Ending> ending = Judge(request)) {
    return EndWith(state, request, emission.now, *std::move(ending), std::move(token), outbox);
  }
  if (request.state == RequestState::kRunning) PublishBlocks(state, request, request);
  outbox.push_back(TellText{request.order.id, std::move(token)});
  if (std::optional<Ending> ending = Outgrown(state, request)) {
    EndWith(state, request, emission.now, *std::move(ending), std::nullopt, outbox);
  }
}

void EndRequest(CoordinatorState& state, Request& request, Micros now, Ending ending,
                CoordinatorOutbox& outbox) {
  EndWith(state, request, now, std::move(ending), std::nullopt, outbox);
}

void TakeVerdict(CoordinatorState& state, const TextJudged& judged, CoordinatorOutbox& outbox) {
  Request* request = state.requests.FindAwaitingText(judged.request);
  if (!judged.stop.has_value()) {
    if (request == nullptr) return;  // nobody asked
    request->proposal->timing = TimingOf(*request, request->proposed);
    request->Finish(*std::move(request->proposal));
    return Conclude(state, *request, std::nullopt, outbox);
  }
  if (request == nullptr) request = state.requests.Find(judged.request);
  if (request == nullptr) return;  // it has ended
  LeaveWorkers(state, *request);
  const Micros ended = CutAfter(*request, judged.stop->completion_tokens);
  request->Finish({.end = End::kStop,
                   .stop = judged.stop->stop,
                   .usage = request->usage,
                   .timing = TimingOf(*request, ended)});
  Conclude(state, *request, std::nullopt, outbox);
}

void Refuse(CoordinatorState& state, RequestId stream, Ending ending, CoordinatorOutbox& outbox) {
  CountEnding(state, ending.end);
  StreamPart part;
  part.ending = std::move(ending);
  outbox.push_back(TellClient{stream, std::move(part)});
}

void CountEnding(CoordinatorState& state, End end) {
  ++state.totals.endings[static_cast<std::size_t>(end)];
}

}  // namespace conclave
