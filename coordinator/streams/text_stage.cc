#include "coordinator/streams/text_stage.h"

#include <algorithm>
#include <iterator>
#include <span>
#include <utility>
#include <variant>

#include "base/check.h"

namespace conclave {
namespace {

// Tokens in one part of a replay: edges join parts, but do not split them.
constexpr std::size_t kReplayTokens = 64;

}  // namespace

TextStage::TextStage(RequestId request, TextBegin begin, const Text* text)
    : request_(request),
      include_stop_in_text_(begin.rules.include_stop_in_text),
      min_tokens_(begin.rules.min_tokens),
      decoder_(text == nullptr ? nullptr : text->NewDecoder(begin.rules.skip_special)),
      scanner_(begin.rules.stops, begin.rules.include_stop_in_text),
      stream_(begin.stream),
      delivered_before_(begin.delivered_before) {}

void TextStage::Take(TextToken& token, TextSink& sink) {
  if (judged_) return;
  StreamPart part;
  Add(token, part);
  std::optional<std::string> stop = AddText(ids_.back(), part);
  Remember(part);
  if (stop.has_value()) {
    last_part_ = std::move(part);
    return Judge(std::move(stop), sink);
  }
  if (!part.ids.empty()) sink.Deliver(stream_, part);
}

void TextStage::Take(TextProposal& proposal, TextSink& sink) {
  if (judged_) return;
  std::optional<std::string> stop;
  if (proposal.last.has_value()) {
    StreamPart part;
    stop = AddLast(*proposal.last, proposal.stop_id, part);
    last_part_ = std::move(part);
  }
  Judge(std::move(stop), sink);
}

void TextStage::Take(TextEnding& ending, TextSink& sink) {
  StreamPart part;
  if (last_part_.has_value()) {
    part = *std::move(last_part_);
  } else if (ending.last.has_value()) {
    AddLast(*ending.last, ending.ending.stop_id, part);
  } else if (ending.ending.end == End::kCancelled && count() >= delivered_before_) {
    // Every other ending without a token is an error: the client may resume, and gets the text that
    // was held back then.
    FlushText(std::nullopt, part);
  }
  part.routed = std::move(ending.routed);
  part.ending = std::move(ending.ending);
  sink.Deliver(stream_, part);
}

void TextStage::Take(TextStreamChange& change, TextSink& sink) {
  StreamPart last;
  last.ending = std::move(change.old_ending);
  sink.Deliver(stream_, last);
  stream_ = change.stream;
  delivered_before_ = change.delivered_before;
  if (last_part_.has_value()) last_part_.emplace();  // its token is part of the replay
  Replay(sink);
}

// The newest token, without its text.
void TextStage::Add(TextToken& token, StreamPart& part) {
  ids_.push_back(token.id);
  part.ids.push_back(token.id);
  if (token.logprob.has_value()) part.logprobs.push_back(*std::move(token.logprob));
  if (ids_.size() == 1) prompt_logprobs_ = std::move(token.prompt_logprobs);
}

// The token with which the core ends the answer; the stop string that is complete with it, if any.
std::optional<std::string> TextStage::AddLast(TextToken& token, std::optional<TokenId> stop_id,
                                              StreamPart& part) {
  Add(token, part);
  std::optional<std::string> stop;
  if (stop_id.has_value()) {
    // A stop token is no part of the text, unless asked for; stop strings do not look at it.
    FlushText(include_stop_in_text_ ? stop_id : std::nullopt, part);
  } else {
    stop = AddText(token.id, part);
    if (!stop.has_value()) FlushText(std::nullopt, part);
  }
  Remember(part);
  return stop;
}

// Text of the newest token; the stop string that is complete with it, if any.
std::optional<std::string> TextStage::AddText(TokenId token, StreamPart& part) {
  if (decoder_ == nullptr) return std::nullopt;
  const std::string text = decoder_->Push(token);
  if (count() < min_tokens_) {
    part.text += scanner_.PushTooEarly(text);
    return std::nullopt;
  }
  StopScanner::Piece piece = scanner_.Push(text);
  part.text += piece.text;
  return std::move(piece.stop);
}

// What was held back; before the decoder's end, the text of a last token that no stop rule looks
// at.
void TextStage::FlushText(std::optional<TokenId> last, StreamPart& part) {
  if (decoder_ == nullptr) return;
  part.text += scanner_.Flush();
  if (last.has_value()) part.text += decoder_->Push(*last);
  part.text += decoder_->Flush();
}

// Keeps what is new in `part` for a stream that takes over, and takes out of it what the client
// has.
void TextStage::Remember(StreamPart& part) {
  text_ += part.text;
  text_ends_.push_back(static_cast<std::uint32_t>(text_.size()));
  logprobs_.insert(logprobs_.end(), part.logprobs.begin(), part.logprobs.end());
  if (count() <= delivered_before_) {
    part = {};
  } else if (count() == 1) {
    part.prompt_logprobs = prompt_logprobs_;
  }
}

void TextStage::Judge(std::optional<std::string> stop, TextSink& sink) {
  judged_ = true;
  std::optional<StopFound> found;
  if (stop.has_value()) found = {.completion_tokens = count(), .stop = *std::move(stop)};
  sink.Judge(request_, std::move(found));
}

// What the client at a new stream lacks of the answer so far.
void TextStage::Replay(TextSink& sink) const {
  for (auto at = static_cast<std::size_t>(delivered_before_); at < ids_.size();) {
    const std::size_t end = std::min(ids_.size(), at + kReplayTokens);
    const std::size_t text_at = at == 0 ? 0 : text_ends_[at - 1];
    const auto share = [at, end](const auto& all) { return std::span(all).subspan(at, end - at); };
    StreamPart part;
    if (at == 0) part.prompt_logprobs = prompt_logprobs_;
    std::ranges::copy(share(ids_), std::back_inserter(part.ids));
    part.text = text_.substr(text_at, text_ends_[end - 1] - text_at);
    if (!logprobs_.empty()) std::ranges::copy(share(logprobs_), std::back_inserter(part.logprobs));
    sink.Deliver(stream_, part);
    at = end;
  }
}

void TextStages::Take(TellText& order) {
  if (auto* begin = std::get_if<TextBegin>(&order.what)) {
    auto stage = std::make_unique<TextStage>(order.request, std::move(*begin), text_);
    const bool fresh = stages_.emplace(order.request.value, std::move(stage)).second;
    CONCLAVE_CHECK(fresh, "request %llu has a text stage already",
                   static_cast<unsigned long long>(order.request.value));
    return;
  }
  const auto found = stages_.find(order.request.value);
  CONCLAVE_CHECK(found != stages_.end(), "request %llu has no text stage",
                 static_cast<unsigned long long>(order.request.value));
  TextStage& stage = *found->second;
  if (auto* token = std::get_if<TextToken>(&order.what)) {
    stage.Take(*token, sink_);
  } else if (auto* change = std::get_if<TextStreamChange>(&order.what)) {
    stage.Take(*change, sink_);
  } else if (auto* proposal = std::get_if<TextProposal>(&order.what)) {
    stage.Take(*proposal, sink_);
  } else {
    stage.Take(std::get<TextEnding>(order.what), sink_);
    stages_.erase(found);
  }
}

}  // namespace conclave
