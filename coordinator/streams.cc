#include "coordinator/streams.h"

#include <algorithm>
#include <utility>

namespace conclave {
namespace {

Timing TimingOf(Request& request, Micros now) {
  const Micros arrived = request.order.arrived;
  Timing timing{.queue = request.first_planned.value_or(now) - arrived,
                .first_token = request.first_token.has_value() ? *request.first_token - arrived : 0,
                .total = now - arrived};
  if (!request.gaps.empty()) {
    const auto middle = request.gaps.begin() + static_cast<std::ptrdiff_t>(request.gaps.size() / 2);
    timing.gap_max = *std::ranges::max_element(request.gaps);
    std::ranges::nth_element(request.gaps, middle);
    timing.gap_p50 = *middle;
  }
  return timing;
}

void CountEnding(CoordinatorState& state, End end) {
  ++state.totals.endings[static_cast<std::size_t>(end)];
}

// The last part: whatever `part` has so far, and the ending.
void SendLast(CoordinatorState& state, Request& request, Micros now, StreamPart part,
              CoordinatorOutbox& outbox) {
  Ending& ending = *request.ending;
  ending.usage = request.usage;
  ending.timing = TimingOf(request, now);
  part.routed = std::move(request.routed);
  CountEnding(state, ending.end);
  part.ending = ending;
  if (request.state == RequestState::kRunning) {
    PublishBlocks(state, request, request);
    PutDown(state, request);
  }
  outbox.push_back(TellClient{request.reader.stream, std::move(part)});
  state.requests.Remove(request);
}

void NoteTime(Request& request, Micros now) {
  if (!request.first_token.has_value()) request.first_token = now;
  if (request.last_token.has_value()) request.gaps.push_back(now - *request.last_token);
  request.last_token = now;
}

// Text of the newest token; the ending when it completes a stop string.
std::optional<Ending> AddText(Request& request, TokenId token, StreamPart& part) {
  if (request.decoder == nullptr) return std::nullopt;
  const std::string text = request.decoder->Push(token);
  if (request.usage.completion_tokens < request.sampling.min_tokens) {
    part.text += request.scanner.PushTooEarly(text);
    return std::nullopt;
  }
  StopScanner::Piece piece = request.scanner.Push(text);
  part.text += piece.text;
  if (!piece.stop.has_value()) return std::nullopt;
  return Ending{.end = End::kStop, .stop = *std::move(piece.stop)};
}

// What was held back; before the decoder's end, the text of a last token that no stop rule looks
// at.
void FlushText(Request& request, std::optional<TokenId> last, StreamPart& part) {
  if (request.decoder == nullptr) return;
  part.text += request.scanner.Flush();
  if (last.has_value()) part.text += request.decoder->Push(*last);
  part.text += request.decoder->Flush();
}

// Why the request ends with its newest token, if it does; adds that token's text.
std::optional<Ending> Judge(Request& request, TokenId token, StreamPart& part) {
  const std::vector<TokenId>& stop_ids = request.sampling.stop_ids;
  if (std::ranges::binary_search(stop_ids, token)) {
    // A stop token is no part of the text, unless asked for.
    FlushText(request, request.include_stop_in_text ? std::optional(token) : std::nullopt, part);
    return Ending{.end = End::kStop, .stop_id = token};
  }
  std::optional<Ending> ending = AddText(request, token, part);
  if (ending.has_value()) return ending;
  if (static_cast<std::int32_t>(request.tokens.size()) < request.length_max) return std::nullopt;
  FlushText(request, std::nullopt, part);
  return Ending{.end = End::kLength};
}

// Whether a stream with this ending may be resumed, so that what is held back comes then.
bool MayBeResumed(End end) {
  switch (end) {
    case End::kStop:
    case End::kLength:
    case End::kCancelled:
      return false;
    case End::kDeadline:
    case End::kRefused:
    case End::kOverloaded:
    case End::kUnavailable:
    case End::kReplaced:
    case End::kInternal:
      break;
  }
  return true;
}

// Keeps what is new in `part` for a stream that takes over, and takes out of it what the reader
// has.
void Remember(Request& request, StreamPart& part) {
  Said& said = request.said;
  said.text += part.text;
  said.text_ends.push_back(static_cast<std::uint32_t>(said.text.size()));
  said.logprobs.insert(said.logprobs.end(), part.logprobs.begin(), part.logprobs.end());
  if (request.usage.completion_tokens <= request.reader.has) {
    part = {};
  } else if (request.usage.completion_tokens == 1) {
    part.prompt_logprobs = request.prompt_logprobs;
  }
}

}  // namespace

void Emit(CoordinatorState& state, Request& request, const Emission& emission,
          CoordinatorOutbox& outbox) {
  const SampledToken& sampled = emission.sampled;
  StreamPart part;
  request.tokens.push_back(sampled.token);
  ++request.usage.completion_tokens;
  ++state.totals.emitted_tokens;
  NoteTime(request, emission.now);
  part.ids.push_back(sampled.token);
  if (request.sampling.logprobs.has_value()) part.logprobs.push_back(sampled.logprob);
  std::optional<Ending> ending = Judge(request, sampled.token, part);
  Remember(request, part);
  if (ending.has_value()) {
    request.Finish(*std::move(ending));
    SendLast(state, request, emission.now, std::move(part), outbox);
    return;
  }
  if (request.state == RequestState::kRunning) PublishBlocks(state, request, request);
  if (!part.ids.empty()) {
    outbox.push_back(TellClient{request.reader.stream, std::move(part)});
  }
}

void EndRequest(CoordinatorState& state, Request& request, Micros now, Ending ending,
                CoordinatorOutbox& outbox) {
  StreamPart part;
  if (!MayBeResumed(ending.end) && request.usage.completion_tokens >= request.reader.has) {
    FlushText(request, std::nullopt, part);
  }
  request.Finish(std::move(ending));
  SendLast(state, request, now, std::move(part), outbox);
}

void Refuse(CoordinatorState& state, RequestId request, Ending ending, CoordinatorOutbox& outbox) {
  CountEnding(state, ending.end);
  StreamPart part;
  part.ending = std::move(ending);
  outbox.push_back(TellClient{request, std::move(part)});
}

}  // namespace conclave
