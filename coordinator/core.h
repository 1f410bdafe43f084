// The coordinator's core: every decision of the cluster, and nothing else. Handle(event, outbox):
// no I/O, no clock, no thread, no lock, no randomness of its own. Time is a field of the event.
// Edges turn gRPC callbacks into events and effects into writes; the simulator drives the same
// class in virtual time.
#pragma once

#include <array>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "base/ids.h"
#include "base/limits.h"
#include "protocol/control.h"
#include "text/text.h"

namespace conclave {

// One control stream to a worker process; numbered by the edge, never reused.
using LinkId = Id<struct LinkTag, std::uint64_t>;

struct CoordinatorConfig {
  int workers_wanted = 1;     // the first epoch waits for so many (role kExpert included)
  // Rows of one worker in one step; a worker's own rows_max counts, too (<= kRowsPerStepMax).
  int worker_rows_max = kRowsPerStepMax;
  // Sequences that live on one worker at once (<= kSequencesMax).
  int running_max = kSequencesMax;
  // The longest that a step with decode rows is to take; unset: see StepTime.
  std::optional<Micros> step_target;
  int first_rows = 64;  // rows of one worker in the first steps, before any was measured
  int waiting_max = 1024;     // requests queued; more are refused with RESOURCE_EXHAUSTED
  std::int64_t waiting_tokens_max = 8'000'000;  // prompt tokens queued in all
  bool prefix_cache = true;
  int plans_ahead = kPlansAheadMax;  // 1: wait for each result
  std::optional<int>
      chunk_tokens;         // a prompt's chunk is at most so long; unset: the budget decides
  int expert_replicas = 1;  // owners of each expert, memory permitting (<= kReplicasMax)
  Micros heartbeat_limit = 700'000;
  // A worker with a step to run makes no progress for so long, or one that is to be ready neither
  // says so nor that it loads.
  Micros wedge_limit = 5'000'000;
  Micros link_limit = 1'000'000;     // a frame that was sent does not arrive for so long
  Micros evidence_wait = 50'000;     // a broken step: so long for the news of who is gone
  Micros connect_limit = 5'000'000;  // Connect to Connected
  Micros load_limit = 30'000'000;    // a load makes no progress for so long
  Micros gather_limit = 30'000'000;  // then fewer workers than wanted will do, if they can
  // The same when some of them have served before: this coordinator is new, not they. More than the
  // longest pause between two dials of a worker.
  Micros rejoin_limit = 3'000'000;
  Micros move_limit = 60'000'000;    // a drain waits so long for its sequences to be moved
  Micros hello_limit = 10'000'000;        // a link that has not said who it is goes
  Micros unavailable_limit = 30'000'000;  // requests wait so long for a cluster that is not there
};

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
                                      WorkerSaid, WorkerGone, Ticked, DrainAsked, RebalanceAsked>;

// ---- effects
struct TellClient {
  RequestId request;
  StreamPart part;
};
struct TellWorker {
  LinkId link;
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
using CoordinatorEffect = std::variant<TellClient, TellWorker, DropLink, TellAdmin, LogLine>;
using CoordinatorOutbox = std::vector<CoordinatorEffect>;

// ---- what the outside may look at, on the core's strand
struct WorkerStatus {
  Slot slot;
  std::string uuid;
  Role role = Role::kWorker;
  std::string state;  // "joining", "active", "draining", "suspect"
  std::string why;    // what it waits for, or what speaks against it; may be empty
  std::string address;
  std::string kernels;
  std::string kv_dtype;
  std::string exchange;
  int experts = 0;  // (MoE layer, expert) pairs it owns
  std::uint64_t expert_bytes = 0;
  int kv_blocks_used = 0;  // held by running sequences
  int kv_blocks_cached = 0;
  int kv_blocks_total = 0;
  double rows_per_second = 0;
  std::uint64_t rss_bytes = 0;
  std::uint64_t expert_rows = 0;                             // rows its experts ran since start
  std::vector<std::vector<std::uint16_t>> experts_by_layer;  // [MoE layer] rising ids
};

// Why an epoch was made.
enum class ChangeKind : std::uint8_t {
  kStart,       // nobody was there before
  kJoin,        // someone came
  kLeave,       // someone was drained
  kLoss,        // someone was lost or sent away
  kBrokenStep,  // a step broke, and everyone is still there
  kRebalance,   // experts were placed anew, or replicas made again
};
inline constexpr const char* kChangeKindNames[] = {"start", "join",        "leave",
                                                   "loss",  "broken_step", "rebalance"};
struct EpochChange {
  Epoch epoch;
  ChangeKind kind = ChangeKind::kStart;
  std::string cause;
  Micros at = 0;     // of Commit
  Micros pause = 0;  // from the last plan before it to Commit
  Micros total = 0;  // from the cause to Commit
};
// Upper bounds of EpochPauses::counts; the last count is of pauses beyond them all.
inline constexpr Micros kPauseBounds[] = {1'000,     2'000,     5'000,      10'000,    20'000,
                                          50'000,    100'000,   200'000,    500'000,   1'000'000,
                                          2'000'000, 5'000'000, 10'000'000, 60'000'000};
struct EpochPauses {
  std::array<std::uint64_t, std::size(kPauseBounds) + 1> counts{};
  Micros sum = 0;
};
// The change that is being made; `stage` is empty when none is.
struct ChangeStatus {
  std::string stage;  // "loading", "connecting", "moving", "stopping", "preparing"
  Epoch epoch;
  ChangeKind kind = ChangeKind::kStart;
  std::string cause;
  Micros since = 0;               // so long it has been under way
  std::vector<Slot> waiting_for;  // whose answer is missing; rising
};
inline constexpr std::size_t kRecentChangesMax = 16;

struct PhaseTotal {
  std::uint64_t micros = 0, bytes = 0, ops = 0;
};
struct ClusterStatus {
  Epoch epoch;
  bool ready = false;
  std::string not_ready_because;
  ModelFacts model;
  std::vector<WorkerStatus> workers;
  int requests_running = 0;
  int requests_waiting = 0;
  std::string last_epoch_cause;
  Micros last_epoch_micros = 0;
  ChangeStatus change;
  std::string change_given_up;      // why the last try to change was given up; empty after a change
  Micros change_retry_in = 0;       // then it is tried again
  std::vector<EpochChange> recent;  // the last kRecentChangesMax, oldest first
  // Since start, for metrics.
  std::array<std::uint64_t, std::size(kChangeKindNames)> changes{};  // by ChangeKind
  EpochPauses pauses;
  std::uint64_t steps = 0, prompt_tokens = 0, cached_prompt_tokens = 0, emitted_tokens = 0,
                preemptions = 0;
  std::uint64_t resumed = 0;   // asks that said resume_after
  std::uint64_t attached = 0;  // streams that took a live request over
  std::vector<std::uint64_t> endings;  // by End
  std::vector<PhaseTotal> phases;      // by index into kPhaseNames, summed over workers
  std::uint64_t exchange_bytes = 0;
  std::vector<std::uint64_t> expert_rows;  // [MoE layer][expert], since start
};

class CoordinatorCore {
 public:
  // `text` may be null: token ids only, no stop strings. `defaults` and `facts` describe the model.
  struct Model {
    ModelFacts facts;
    std::vector<TokenId> eos_ids;
    std::optional<double> temperature, top_p, repetition_penalty;  // generation_config.json
    std::optional<int> top_k;
    std::int64_t context_per_row = 0;  // see RowCost; 0: context costs nothing
  };
  CoordinatorCore(const CoordinatorConfig& config, Model model, const Text* text);
  ~CoordinatorCore();

  void Handle(const CoordinatorEvent& event, CoordinatorOutbox& outbox);
  ClusterStatus Status(Micros now) const;
  bool ready() const;  // an epoch is committed and every expert has an owner

  // CHECKs that blocks, requests and plans in flight add up. For tests and the simulator.
  void CheckInvariants() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace conclave
