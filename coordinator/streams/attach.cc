#include "coordinator/streams/attach.h"

#include <algorithm>
#include <span>

#include "absl/strings/str_cat.h"
#include "coordinator/streams/streams.h"

namespace conclave {
namespace {

// Everything that decides what the client reads.
bool AsksTheSame(const Request& live, const Request& again) {
  const auto prompt = std::span(live.tokens).first(static_cast<std::size_t>(live.prompt_tokens));
  return std::ranges::equal(prompt, again.tokens) && live.sampling == again.sampling &&
         live.max_tokens_given == again.max_tokens_given && live.length_max == again.length_max &&
         live.stops == again.stops && live.include_stop_in_text == again.include_stop_in_text &&
         live.skip_special == again.skip_special;
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
  state.requests.Hand(live, again.reader, again.deadline);
  ++state.totals.attached;
  CountEnding(state, End::kReplaced);
  Ending old_ending{.end = End::kReplaced,
                    .message = "a newer stream has taken this request over"};
  outbox.push_back(TellText{live.order.id, TextStreamChange{.stream = again.reader.stream,
                                                            .delivered_before = again.reader.has,
                                                            .old_ending = std::move(old_ending)}});
}

}  // namespace conclave
