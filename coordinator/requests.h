// A request from admission to its one ending, and the table of all that are live.
//
//   waiting --(opened by the planner)--> running --(preempted, or its worker lost)--> waiting
//      \_________________________ ended, once ________________/
//
// One with stop strings has an ending proposed first; then it awaits its text stage, which may know
// of an earlier end (streams/text_stage.h). It holds no place, no block and no name meanwhile.
//
// Total order everywhere: (arrival, id).
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "coordinator/events.h"
#include "coordinator/stay.h"

namespace conclave {

struct ByArrival {
  Micros arrived = 0;
  RequestId id;
  friend auto operator<=>(const ByArrival&, const ByArrival&) = default;
};

// Who reads the answer now.
struct Reader {
  RequestId stream;
  std::int32_t has = 0;  // so many tokens of the answer came with an earlier stream
};

enum class RequestState : std::uint8_t { kWaiting, kRunning, kAwaitingText, kEnded };

struct Request : Stay {
  // What was asked, resolved.
  ByArrival order;
  std::string name;  // the client's id
  SamplingParams sampling;
  std::int32_t prompt_tokens = 0;
  std::int32_t length_max = 0;  // tokens in all, prompt included, at which it ends
  bool max_tokens_given = false;
  std::int64_t blocks_max = 0;  // of the smallest largest KV pool that it fitted so far; 0: none yet
  std::vector<std::string> stops;
  bool include_stop_in_text = false;
  bool skip_special = true;
  std::optional<Micros> deadline;

  // What is known so far.
  RequestState state = RequestState::kWaiting;
  std::vector<TokenId> tokens;        // prompt, then emitted
  std::vector<std::uint64_t> hashes;  // of each whole block of tokens; see UpdateHashes

  // Where it runs is its stay; `in_flight` tokens were sampled there by plans whose results are not
  // back. The understudy, if any, catches up on another worker (moves.h).
  std::int32_t in_flight = 0;
  std::unique_ptr<Understudy> understudy;

  // Tokens of the requests that began while this one was the first for which there was no KV memory
  // (schedule/open.h).
  std::int64_t overtaken_tokens = 0;

  // What the client gets.
  Reader reader;
  std::vector<TokenLogprob> prompt_logprobs;  // entry i is of position i + 1; until the first token
  std::vector<std::uint16_t> routed;
  std::int32_t routed_positions = 0;
  bool ever_opened = false;
  Usage usage;
  std::optional<Micros> first_planned, first_token, last_token;
  std::vector<Micros> gaps;  // between tokens; bounded by length_max
  std::optional<Ending> proposal;  // the ending, unless the text ended earlier
  Micros proposed = 0;             // when
  std::optional<Ending> ending;

  bool decoding() const { return planned == length_planned() - 1; }
  std::int32_t length_planned() const {
    return static_cast<std::int32_t>(tokens.size()) + in_flight;
  }
  // Positions that could go into a plan now.
  std::int32_t plannable() const {
    return length_planned() >= length_max ? 0 : length_planned() - planned;
  }
  // Its end may be in its text, of which the core knows nothing.
  bool HasStopStrings() const { return !stops.empty(); }
  bool NeedsEveryPosition() const {
    return sampling.prompt_logprobs.has_value() || sampling.routed_experts;
  }
  // Extends `hashes` to all whole blocks of tokens.
  void UpdateHashes();
  // Sets the ending; CHECKs that there was none.
  void Finish(Ending end);
};

class RequestTable {
 public:
  Request& Add(std::unique_ptr<Request> request);  // waiting; CHECKs that the id is new
  Request* Find(RequestId id);
  Request* FindNamed(const std::string& name);
  Request* FindRead(RequestId stream);  // by the stream that reads it now
  // Another stream reads it from now on; what the old one said about time counts no more.
  void Hand(Request& request, const Reader& reader, std::optional<Micros> deadline);
  void Run(Request& request);     // waiting -> running
  void Wait(Request& request);    // running -> waiting
  // waiting or running -> awaiting its text stage; it must have a proposed ending. It is found by
  // FindAwaitingText only.
  void AwaitText(Request& request);
  Request* FindAwaitingText(RequestId id);
  void Remove(Request& request);  // destroys it; it must have an ending

  // Rising (arrival, id). Run and Wait change them: index or copy while doing so.
  const std::vector<Request*>& running() const { return running_; }
  const std::set<std::pair<ByArrival, Request*>>& waiting() const { return waiting_; }
  const std::set<std::pair<Micros, RequestId>>& deadlines() const { return deadlines_; }
  std::int64_t waiting_tokens() const { return waiting_tokens_; }
  std::size_t size() const { return live_.size(); }  // without those that await their text
  std::vector<RequestId> All() const;  // rising (arrival, id)

  void CheckInvariants() const;

 private:
  void Detach(Request& request);

  // Looked up; only CheckInvariants walks one of them.
  absl::flat_hash_map<std::uint64_t, std::unique_ptr<Request>> live_, awaiting_text_;
  absl::flat_hash_map<std::string, Request*> named_;
  absl::flat_hash_map<std::uint64_t, Request*> read_;  // by stream
  std::vector<Request*> running_;
  std::set<std::pair<ByArrival, Request*>> waiting_;  // the order is unique: pointers never decide
  std::set<std::pair<Micros, RequestId>> deadlines_;
  std::int64_t waiting_tokens_ = 0;
};

}  // namespace conclave
