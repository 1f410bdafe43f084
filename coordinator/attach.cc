#include "coordinator/attach.h"

#include <algorithm>
#include <span>

#include "absl/strings/str_cat.h"
#include "coordinator/streams.h"

namespace conclave {
namespace {

// One part of a replay has so many tokens: the edge joins parts, but does not split them.
constexpr std::size_t kReplayTokens = 64;

// Everything that decides what the client reads. How long a request may get that did not say so is
// a matter of memory, not of what was asked.
bool AsksTheSame(const Request& live, const Request& again) {
  const auto prompt = std::span(live.tokens).first(static_cast<std::size_t>(live.prompt_tokens));
  return std::ranges::equal(prompt, again.tokens) && live.sampling == again.sampling &&
         live.max_tokens_given == again.max_tokens_given &&
         (!live.max_tokens_given || live.length_max == again.length_max) &&
         live.stops == again.stops && live.include_stop_in_text == again.include_stop_in_text &&
         live.skip_special == again.skip_special;
}

// What the reader lacks of the answer so far.
void Replay(const Request& request, CoordinatorOutbox& outbox) {
  const auto answer =
      std::span(request.tokens).subspan(static_cast<std::size_t>(request.prompt_tokens));
  const Said& said = request.said;
  for (std::size_t at = static_cast<std::size_t>(request.reader.has); at < answer.size();) {
    const std::size_t end = std::min(answer.size(), at + kReplayTokens);
    const std::size_t text_at = at == 0 ? 0 : said.text_ends[at - 1];
    StreamPart part;
    if (at == 0) part.prompt_logprobs = request.prompt_logprobs;
    part.ids.assign(answer.begin() + static_cast<std::ptrdiff_t>(at),
                    answer.begin() + static_cast<std::ptrdiff_t>(end));
    part.text = said.text.substr(text_at, said.text_ends[end - 1] - text_at);
    if (!said.logprobs.empty()) {
      part.logprobs.assign(said.logprobs.begin() + static_cast<std::ptrdiff_t>(at),
                           said.logprobs.begin() + static_cast<std::ptrdiff_t>(end));
    }
    outbox.push_back(TellClient{request.reader.stream, std::move(part)});
    at = end;
  }
}

}  // namespace

void Attach(CoordinatorState& state, Request& live, const Request& again,
            CoordinatorOutbox& outbox) {
  if (!AsksTheSame(live, again)) {
    Ending refusal{.end = End::kRefused, .field = "request_id"};
    refusal.message =
        absl::StrCat("a live request is called ", again.name, " and asks for something else");
    Refuse(state, again.reader.stream, std::move(refusal), outbox);
    return;
  }
  Refuse(state, live.reader.stream,
         {.end = End::kReplaced, .message = "a newer stream has taken this request over"}, outbox);
  state.requests.Hand(live, again.reader, again.deadline);
  ++state.totals.attached;
  Replay(live, outbox);
}

}  // namespace conclave
