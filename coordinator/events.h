// What the coordinator's core is told (events) and what it has others do (effects): plain data, the
// whole of its interface to the edges and to the simulator.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "base/ids.h"
#include "protocol/control.h"

namespace conclave {

// One control stream to a worker process; numbered by the edge, never reused.
using LinkId = Id<struct LinkTag, std::uint64_t>;

// What a client asked for, translated: prompt as ids, numbers as given. Unset fields mean the
// model's defaults.
struct ClientAsk {
  std::string id;  // the client's request_id, or one the edge made up
  std::vector<TokenId> prompt;
  std::optional<int> max_tokens;  // unset: what the context leaves
  std::optional<int> min_tokens;
  std::optional<double> temperature, top_p, min_p, repetition_penalty, presence_penalty,
      frequency_penalty;
  std::optional<int> top_k;
  std::optional<std::uint64_t> seed;  // unset: `fallback_seed`
  std::uint64_t fallback_seed = 0;    // of the id, or drawn by the edge if it made up the id
  std::vector<std::string> stop;      // stop strings
  std::vector<TokenId> stop_ids;      // besides the model's own
  bool include_stop_in_text = false;
  bool ignore_eos = false;
  std::vector<std::pair<TokenId, float>> logit_bias;
  std::optional<int> logprobs, prompt_logprobs;
  bool routed_experts = false;
  bool skip_special = true;        // special tokens are left out of the text
  std::optional<Micros> deadline;  // absolute, on the events' clock
  // The client has the first so many tokens of this answer from an earlier stream: the stream
  // begins after them, with the same bits as if it had not been cut. Works with any history: a live
  // request of this id that asked the same is taken over (its old stream ends with kReplaced), any
  // other is run again from the prompt.
  int resume_after = 0;
};

// Every request ends exactly once, with a reason.
enum class End : std::uint8_t {
  kStop,         // a stop id or stop string
  kLength,       // max_tokens or the context
  kCancelled,    // the client left or said Abort
  kDeadline,     // the client's deadline passed
  kRefused,      // the ask was wrong: INVALID_ARGUMENT, `field` says which
  kOverloaded,   // a queue was full: RESOURCE_EXHAUSTED
  kUnavailable,  // no live owner of some layer or expert: UNAVAILABLE
  kReplaced,     // a newer stream has taken this request over: ABORTED
  kOutgrown,     // the answer has filled a worker's KV memory: RESOURCE_EXHAUSTED, for good
  kInternal,
};

struct Usage {
  std::int32_t prompt_tokens = 0;
  std::int32_t cached_prompt_tokens = 0;
  std::int32_t completion_tokens = 0;
};

struct Timing {
  Micros queue = 0;        // arrival to first plan
  Micros first_token = 0;  // arrival to first token
  Micros total = 0;
  Micros gap_p50 = 0;  // between tokens
  Micros gap_max = 0;
};

struct Ending {
  End end = End::kInternal;
  std::string field;  // kRefused: the offending field, as the API spells it
  std::string message;
  std::string stop;  // kStop by a string: which
  std::optional<TokenId> stop_id;
  Usage usage;
  Timing timing;
};

// A piece of a stream. The last piece has an ending.
struct StreamPart {
  std::vector<TokenId> ids;
  std::string text;                           // final text only: never half a character
  std::vector<TokenLogprob> logprobs;         // parallel to ids, when asked for
  std::vector<TokenLogprob> prompt_logprobs;  // once, for prompt tokens 1..n-1, when asked for
  std::vector<std::uint16_t> routed;  // [positions][moe layers][topk], at the end, when asked for
  std::optional<Ending> ending;
};

// ---- events. `now` never goes back.
struct ClientAsked {
  Micros now;
  RequestId request;
  ClientAsk ask;
};
struct ClientLeft {  // cancelled, or the connection is gone
  Micros now;
  RequestId request;
};
struct AbortAsked {
  Micros now;
  std::string id;
};
struct WorkerArrived {
  Micros now;
  LinkId link;
};
struct WorkerSaid {
  Micros now;
  LinkId link;
  FromWorker message;
};
struct WorkerGone {
  Micros now;
  LinkId link;
  std::string reason;
};
struct Ticked {  // every few milliseconds
  Micros now;
};
// What the text stage of a request with stop strings found, once per request: see
// coordinator/streams/text_stage.h.
struct StopFound {
  std::int32_t completion_tokens = 0;  // up to and with the token that completed the stop string
  std::string stop;
};
struct TextJudged {
  Micros now;
  RequestId request;
  std::optional<StopFound> stop;  // unset: none before the ending that the core proposed
};
// What an operator wants; answered by TellAdmin with the same ticket.
struct DrainAsked {
  Micros now;
  std::uint64_t ticket;
  std::string worker;  // slot number or uuid
};
struct RebalanceAsked {  // place experts anew by measured load, if that pays
  Micros now;
  std::uint64_t ticket;
};
using CoordinatorEvent = std::variant<ClientAsked, ClientLeft, AbortAsked, WorkerArrived,
                                      WorkerSaid, WorkerGone, Ticked, DrainAsked, RebalanceAsked,
                                      TextJudged>;

// ---- effects
// The one part for a client whose ask never became a request: an ending.
struct TellClient {
  RequestId request;
  StreamPart part;
};

// Work for the text stage of a request.
struct TextRules {
  std::vector<std::string> stops;
  bool include_stop_in_text = false;
  bool skip_special = true;
  std::int32_t min_tokens = 0;
};
struct TextBegin {  // the request is admitted
  RequestId stream;
  std::int32_t delivered_before = 0;  // tokens that the client has from earlier streams
  TextRules rules;
};
struct TextToken {
  TokenId id = 0;
  std::optional<TokenLogprob> logprob;        // when asked for
  std::vector<TokenLogprob> prompt_logprobs;  // with the first token, when asked for
};
struct TextStreamChange {  // another stream takes the request over
  RequestId stream;
  std::int32_t delivered_before = 0;
  Ending old_ending;  // of the stream so far
};
// A request with stop strings ends with `last`, or with the token before when that is unset, unless
// a stop string was complete earlier. Answered by TextJudged.
struct TextProposal {
  std::optional<TextToken> last;
  std::optional<TokenId> stop_id;  // `last` is this stop token
};
struct TextEnding {
  std::optional<TextToken> last;  // not after a TextProposal
  Ending ending;
  std::vector<std::uint16_t> routed;  // as in StreamPart
};
struct TellText {
  RequestId request;  // the first stream's number, whichever stream reads the answer now
  std::variant<TextToken, TextBegin, TextStreamChange, TextProposal, TextEnding> what;
};
struct TellWorker {
  LinkId link;
  ToWorker message;
};
struct TellWorkers {  // the same to several: the edge encodes it once
  std::vector<LinkId> links;
  ToWorker message;
};
struct DropLink {
  LinkId link;
  std::string reason;
};
struct TellAdmin {
  std::uint64_t ticket;
  absl::Status status;  // OK: it has begun; the message of an error says why not
  std::string text;     // for people: what happens now
};
struct LogLine {
  enum class Level : std::uint8_t { kInfo, kWarning, kError } level;
  std::string text;
};
using CoordinatorEffect =
    std::variant<TellText, TellClient, TellWorker, TellWorkers, DropLink, TellAdmin, LogLine>;
using CoordinatorOutbox = std::vector<CoordinatorEffect>;
// Replaces every TellWorkers by one TellWorker per link, in its place.
CoordinatorOutbox OneByOne(CoordinatorOutbox outbox);

}  // namespace conclave
