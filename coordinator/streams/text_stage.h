// The text of one answer. The core speaks of tokens only; a request's text stage decodes them,
// looks for stop strings, keeps what a stream that takes the request over needs, and makes the
// parts that clients read. It runs elsewhere than the core (on a text worker, at an edge) and hears
// of each token some time after the core has emitted it.
//
// A request with stop strings ends where the text says so, which the core cannot know:
//   - the stage tells the core once, by TextSink::Judge, either that a stop string was complete with
//     some token, or, when the core proposes an ending, that none was;
//   - meanwhile the core may have emitted tokens beyond the stop string: nobody ever sees them;
//   - the core says TextEnding after that, and only then does the client read the last part.
// So a stream, its usage and its reason to end are the same however late the stage is.
//
// Pure, like the core: no thread, no clock, no I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "coordinator/events.h"
#include "coordinator/streams/stop_scanner.h"
#include "text/text.h"

namespace conclave {

// Where text stages send their results.
class TextSink {
 public:
  virtual ~TextSink() = default;
  // For the client at `stream`, in the order in which it reads; the last part has an ending. The
  // receiver may take the part's contents.
  virtual void Deliver(RequestId stream, StreamPart& part) = 0;
  // For the core (TextJudged): once for each request that has stop strings and an ending.
  virtual void Judge(RequestId request, std::optional<StopFound> stop) = 0;
};

class TextStage {
 public:
  // `text` is null for a model without a tokenizer; else it outlives the stage.
  TextStage(RequestId request, TextBegin begin, const Text* text);

  void Take(TextToken& token, TextSink& sink);
  void Take(TextStreamChange& change, TextSink& sink);
  void Take(TextProposal& proposal, TextSink& sink);
  void Take(TextEnding& ending, TextSink& sink);  // nothing may follow

 private:
  std::int32_t count() const { return static_cast<std::int32_t>(ids_.size()); }
  void Add(TextToken& token, StreamPart& part);
  std::optional<std::string> AddLast(TextToken& token, std::optional<TokenId> stop_id,
                                     StreamPart& part);
  std::optional<std::string> AddText(TokenId token, StreamPart& part);
  void FlushText(std::optional<TokenId> last, StreamPart& part);
  void Remember(StreamPart& part);
  void Judge(std::optional<std::string> stop, TextSink& sink);
  void Replay(TextSink& sink) const;

  const RequestId request_;
  const bool include_stop_in_text_;
  const std::int32_t min_tokens_;
  std::unique_ptr<StreamDecoder> decoder_;  // null: no text
  StopScanner scanner_;

  RequestId stream_;                     // reads the answer now
  std::int32_t delivered_before_;        // tokens that its client has from earlier streams
  bool judged_ = false;                  // further tokens lie beyond the end
  std::optional<StreamPart> last_part_;  // of a judged request: waits for the ending

  // The answer so far, for a stream that takes over; by token where not said otherwise.
  std::vector<TokenId> ids_;
  std::string text_;
  std::vector<std::uint32_t> text_ends_;  // bytes of text_ that were final with the token
  std::vector<TokenLogprob> logprobs_;    // empty unless asked for
  std::vector<TokenLogprob> prompt_logprobs_;
};

// The stages of many requests, by request. One owner, one thread.
class TextStages {
 public:
  // Both outlive the stages; `text` may be null.
  TextStages(const Text* text, TextSink& sink) : text_(text), sink_(sink) {}
  // Orders for one request must come in the order of the core's effects. Takes the order apart.
  void Take(TellText& order);
  std::size_t size() const { return stages_.size(); }

 private:
  const Text* const text_;
  TextSink& sink_;
  absl::flat_hash_map<std::uint64_t, std::unique_ptr<TextStage>> stages_;  // never walked
};

}  // namespace conclave
