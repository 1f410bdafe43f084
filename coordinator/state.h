// Everything the coordinator knows, in one struct that its verbs are handed. One owner (the core),
// one thread.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/limits.h"
#include "coordinator/cluster_status.h"
#include "coordinator/config.h"
#include "coordinator/events.h"
#include "coordinator/kv_blocks.h"
#include "coordinator/membership.h"
#include "coordinator/recent_load.h"
#include "coordinator/reconfig/reconfig.h"
#include "coordinator/requests.h"
#include "coordinator/schedule/step_time.h"
#include "text/text.h"

namespace conclave {

// A member of the epoch, as the planner sees it. Lives as long as its process is a member: its KV
// memory outlives epochs.
struct Home {
  Home(const Hello& hello, Slot at, LinkId control, bool prefix_cache)
      : slot(at),
        link(control),
        rows_max(hello.rows_max),
        arrivals_max(hello.arrivals_max),
        blocks(hello.role == Role::kWorker ? hello.kv_blocks : 0, prefix_cache) {}
  Slot slot;
  LinkId link;
  std::int32_t rows_max;
  std::int32_t arrivals_max;
  KvBlocks blocks;
  StepId answered;                // the last step whose result is here
  std::vector<SeqId> closes_due;  // go into the next plan; their blocks are free already
  std::uint64_t expert_rows = 0;
  ExpertWork expert_work;  // lately
  std::uint64_t rows = 0, rows_sampled = 0;  // run so far; at the last sample of the rate
  double rows_per_second = 0;

  bool draining = false;  // it will leave: no new sequences, and those it has move away
  Micros draining_since = 0;

  bool TakesSequences() const { return blocks.total() > 0 && rows_max > 0 && !draining; }
};

// What the coordinator remembers of a chunk that is under way.
struct PlannedRow {
  RequestId request;
  SeqId seq;
  std::int32_t begin = 0;
  std::int32_t count = 0;
  bool sample = false;
};
struct PlannedPart {
  Slot slot;
  bool answered = false;
  std::vector<SeqId> closes, opens;
  std::vector<PlannedRow> rows;
};
struct PlannedStep {
  StepId step;
  Micros planned = 0;
  StepTime::Measured measured;  // what is known of it before it has run
  std::uint64_t digest = 0;
  int answers_missing = 0;
  std::vector<PlannedPart> parts;  // rising slot
};

struct Totals {
  std::uint64_t steps = 0, prompt_tokens = 0, cached_prompt_tokens = 0, emitted_tokens = 0,
                preemptions = 0, moves = 0, bytes_sent = 0, bytes_received = 0, bad_router_rows = 0, resumed = 0,
                attached = 0;
  std::array<std::uint64_t, static_cast<std::size_t>(End::kInternal) + 1> endings{};
  std::array<PhaseTotal, std::size(kPhaseNames)> phases{};
  std::vector<std::uint64_t> expert_rows;  // [MoE layer][expert]
  std::uint64_t expert_rows_in_all = 0;    // their sum
};

struct CoordinatorState {
  CoordinatorState(const CoordinatorConfig& configuration, ServedModel about,
                   const Text* words)
      : config(configuration), model(std::move(about)), text(words) {}

  const CoordinatorConfig config;
  const ServedModel model;
  const Text* const text;

  Membership membership{config.arrivals_least};
  RequestTable requests;
  Totals totals;
  std::optional<Micros> bad_rows_logged;  // when the log last said that routing went wrong

  Epoch epoch;          // committed
  Placement placement;  // committed
  Reconfig reconfig;    // how these two change

  std::array<std::unique_ptr<Home>, kSlotsMax> homes;  // by slot; null: no member
  std::vector<Slot> live;                              // members of the epoch, rising

  StepId step_planned;  // the newest
  SeqId seq_opened;     // the newest
  std::deque<PlannedStep> in_flight;
  Micros step_ended = 0;  // when the last step was done
  StepTime step_time{config.step_target, RowCost(model.context_per_row), config.first_rows};
  RecentLoad recent_load;
  Micros rates_since = 0;
  Micros ticked = 0;           // the last time
  Micros listening_since = 0;  // silence before does not count: this process itself stood still

  Home& HomeAt(Slot slot) { return *homes[static_cast<std::size_t>(slot.value)]; }
  const Home& HomeAt(Slot slot) const { return *homes[static_cast<std::size_t>(slot.value)]; }
  Home* HomeOrNull(Slot slot) { return homes[static_cast<std::size_t>(slot.value)].get(); }
};

// Short forms for effects.
void Log(CoordinatorOutbox& outbox, LogLine::Level level, std::string text);

// Puts a running request down, with its understudy: its sequences are closed by the next plans of
// their homes, their blocks are free for what comes after that. Its known tokens stay.
void PutDown(CoordinatorState& state, Request& request);
void PutDownUnderstudy(CoordinatorState& state, Request& request);  // if it has one
// The stay goes on with its first `keep` positions, whole blocks that are written; the next plan
// with a chunk of it opens it anew.
void Reopen(CoordinatorState& state, Stay& stay, std::int32_t keep);
// Makes the whole blocks of one of the request's sequences that are both planned and known
// shareable.
void PublishBlocks(CoordinatorState& state, Request& request, Stay& stay);

}  // namespace conclave
