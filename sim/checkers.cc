#include "sim/checkers.h"

#include <algorithm>
#include <optional>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/limits.h"
#include "protocol/rounds.h"
#include "sim/expected.h"

namespace conclave::sim {

// ---- plans

void PlanChecker::Sent(const StepAsk& ask, const NodeShape& shape) {
  const auto [known, fresh] = plans_.try_emplace(ask.step, Plan{ask.epoch, ask.digest, {}});
  Plan& plan = known->second;
  steps_in_rounds_ += fresh && ask.rounds > 1 ? 1 : 0;
  if (plan.digest != ask.digest || plan.epoch != ask.epoch) {
    complaints_.Add(absl::StrCat("[digests] two plans of step ", ask.step.value));
  }
  if (!plan.answered.emplace(ask.part.slot, false).second) {
    complaints_.Add(absl::StrCat("[digests] step ", ask.step.value, " is asked of slot ",
                                 ask.part.slot.value, " twice"));
  }
  if (ask.part.rows() > std::min(shape.rows_max, options_.coordinator.worker_rows_max)) {
    complaints_.Add(
        absl::StrCat("[bounds] ", ask.part.rows(), " rows for slot ", ask.part.slot.value));
  }
  if (!RoundsFit(ask.part_rows, static_cast<std::size_t>(ask.part_index), ask.rounds,
                 shape.arrivals_max)) {
    complaints_.Add(absl::StrCat("[bounds] ", ask.rounds, " rounds are too few for slot ",
                                 ask.part.slot.value));
  }
  for (const Chunk& chunk : ask.part.chunks) {
    if (chunk.count <= options_.coordinator.chunk_tokens.value_or(kContextMax)) continue;
    complaints_.Add(absl::StrCat("[bounds] a chunk of ", chunk.count));
  }
  std::size_t under_way = 0;
  for (auto later = plans_.rbegin(); later != plans_.rend() && under_way <= 8; ++later) {
    if (later->second.epoch != ask.epoch) continue;
    const auto slot = later->second.answered.find(ask.part.slot);
    if (slot == later->second.answered.end()) continue;
    if (slot->second) break;
    ++under_way;
  }
  if (under_way > static_cast<std::size_t>(options_.coordinator.plans_ahead)) {
    complaints_.Add(
        absl::StrCat("[bounds] ", under_way, " plans under way at slot ", ask.part.slot.value));
  }
}

void PlanChecker::Answered(const StepResult& result) {
  const auto known = plans_.find(result.step);
  if (known == plans_.end()) {
    complaints_.Add(
        absl::StrCat("[digests] a result of step ", result.step.value, ", never planned"));
    return;
  }
  Plan& plan = known->second;
  if (plan.digest != result.digest || plan.epoch != result.epoch) {
    complaints_.Add(absl::StrCat("[digests] slot ", result.slot.value, " ran another plan of step ",
                                 result.step.value));
  }
  const auto slot = plan.answered.find(result.slot);
  if (slot == plan.answered.end() || std::exchange(slot->second, true)) {
    complaints_.Add(absl::StrCat("[digests] step ", result.step.value, " is answered by slot ",
                                 result.slot.value, " twice, or unasked"));
  }
}

// ---- streams

void StreamChecker::Complain(const Client& client, const char* checker, const std::string& what) {
  args_.complaints.Add(absl::StrCat("[", checker, "] request ", client.request.value, " (",
                                    client.plan->ask.id, "): ", what));
}

void StreamChecker::Part(const Client& client, const StreamPart& part) {
  if (client.ending.has_value()) Complain(client, "endings", "a part after the end");
  if (part.ids.empty() && !part.ending.has_value()) Complain(client, "tokens", "an empty part");
  const bool wants = client.plan->ask.logprobs.has_value();
  if (part.logprobs.size() != (wants ? part.ids.size() : 0)) {
    Complain(client, "logprobs",
             absl::StrCat(part.logprobs.size(), " of ", part.ids.size(), " tokens in a part"));
  }
  if (!part.routed.empty() && !part.ending.has_value()) {
    Complain(client, "logprobs", "routes before the end");
  }
}

int StreamChecker::LengthMax(const ClientAsk& ask) const {
  const int prompt = static_cast<int>(ask.prompt.size());
  return std::min(args_.toy.config.context - prompt, ask.max_tokens.value_or(kContextMax));
}

// Whether it did not say how long it may get, and has filled some worker's memory.
bool StreamChecker::Outgrew(const Client& client) const {
  if (client.plan->ask.max_tokens.has_value()) return false;
  int blocks = args_.toy.config.context;
  for (const NodeShape& node : args_.options.nodes) {
    if (node.role == Role::kWorker) blocks = std::min(blocks, node.kv_blocks);
  }
  return static_cast<int>(client.plan->ask.prompt.size() + client.ids.size()) >
         blocks * kKvBlockTokens;
}

void StreamChecker::Whole(const Client& client) {
  if (!client.ending.has_value()) return Complain(client, "endings", "never ended");
  CheckReason(client);
  CheckPromptness(client);
  const End end = client.ending->end;
  const bool never_began = end == End::kRefused || end == End::kOverloaded;
  // One that asks for the rest may be turned away with what it has.
  if (never_began && client.streams == 1 && (!client.ids.empty() || !client.text.empty())) {
    Complain(client, "tokens", "was turned away and got tokens");
  }
  if (client.plan->refused_field.empty() && (!never_began || client.streams > 1)) {
    CheckTokens(client);
  }
  if (!never_began && end != End::kReplaced && client.connected) CheckUsage(client);
}

void StreamChecker::CheckReason(const Client& client) {
  const Ending& ending = *client.ending;
  const ClientPlan& plan = *client.plan;
  const std::string field = !plan.refused_field.empty() ? plan.refused_field
                            : client.name_taken         ? "request_id"
                                                        : "";
  const bool late = ending.end == End::kDeadline || ending.end == End::kOverloaded ||
                    ending.end == End::kCancelled;
  // Else it has left while there was nobody to ask, or while the answer was lost.
  const bool asked = client.streams > 0 && client.connected;
  if (!field.empty() && asked && ending.end != End::kRefused && (!client.name_taken || !late)) {
    Complain(client, "endings", absl::StrCat("should have been refused for ", field));
  }
  switch (ending.end) {
    case End::kStop:
    case End::kLength:
    case End::kUnavailable:  // see World::CheckReadiness
      return;                // see CheckTokens
    case End::kRefused:
      if (ending.field == field && !field.empty()) return;
      return Complain(client, "endings",
                      absl::StrCat("refused for \"", ending.field, "\": ", ending.message,
                                   "; expected \"", field, "\""));
    case End::kCancelled:
      if (client.left.has_value() || client.aborted) return;
      return Complain(client, "endings", "cancelled by nobody");
    case End::kDeadline:
      if (!plan.ask.deadline.has_value() || client.asked + *plan.ask.deadline > client.ended) {
        Complain(client, "endings", "ended for a deadline that had not passed");
      }
      return;
    case End::kOverloaded:
      if (client.live_then < static_cast<std::size_t>(args_.options.coordinator.waiting_max)) {
        Complain(client, "endings",
                 absl::StrCat("overloaded with ", client.live_then, " requests"));
      }
      return;
    case End::kReplaced:
      if (!client.rivalled) Complain(client, "endings", "replaced by nobody");
      return;
    case End::kOutgrown:
      if (!Outgrew(client)) Complain(client, "endings", "outgrew nothing: " + ending.message);
      return;
    case End::kInternal:
      return Complain(client, "endings", "an internal error: " + ending.message);
  }
}

// Who has left or whose time is over is done with at the next event.
void StreamChecker::CheckPromptness(const Client& client) {
  const SimOptions& options = args_.options;
  if (client.left.has_value() && client.connected &&
      client.ended > *client.left + options.client_delay_max + args_.text_slack) {
    Complain(client, "prompt", "went on after its client had left");
  }
  const std::optional<Micros> deadline = client.plan->ask.deadline;
  if (!deadline.has_value() || !client.plan->refused_field.empty() || !client.connected) return;
  const Micros due = std::max(client.asked + std::max<Micros>(*deadline, 0), client.asked_last);
  if (client.ended > due + options.tick_every + args_.text_slack) {
    Complain(client, "prompt", "outlived its deadline");
  }
}

void StreamChecker::CheckTokens(const Client& client) {
  const ClientAsk& ask = client.plan->ask;
  const int count = static_cast<int>(client.ids.size());
  if (count > LengthMax(ask)) return Complain(client, "tokens", absl::StrCat(count, " of them"));
  const Oracle::Answer& answer = args_.oracle.Of(ask, count);
  const std::span<const TokenId> tokens = std::span(answer.tokens).first(client.ids.size());
  const auto [got, want] = std::ranges::mismatch(client.ids, tokens);
  if (got != client.ids.end()) {
    return Complain(
        client, "tokens",
        absl::StrCat("token ", got - client.ids.begin(), " is ", *got, ", alone it is ", *want));
  }
  const Expected expected = Expect({.ask = ask,
                                    .tokens = tokens,
                                    .length_max = LengthMax(ask),
                                    .eos = args_.toy.config.eos_ids,
                                    .text = *args_.toy.text});
  CheckEnding(client, expected);
  CheckText(client, expected);
  CheckDetails(client, answer);
}

void StreamChecker::CheckEnding(const Client& client, const Expected& expected) {
  const Ending& ending = *client.ending;
  const bool whole = ending.end == End::kStop || ending.end == End::kLength;
  if (expected.tokens != static_cast<int>(client.ids.size())) {
    return Complain(client, "endings",
                    absl::StrCat("goes on after token ", expected.tokens, ", which ends it: \"",
                                 expected.stop, "\" in \"", expected.text, "\""));
  }
  if (whole && expected.end != ending.end) {
    return Complain(
        client, "endings",
        expected.end.has_value() ? "stopped for the wrong reason" : "stopped without a reason");
  }
  // A stream that was cut may have lost its last part only.
  if (!whole && expected.end.has_value() && client.streams == 1 && client.connected) {
    Complain(client, "endings", "was cut after its end");
  }
  if (whole && (expected.stop != ending.stop || expected.stop_id != ending.stop_id)) {
    Complain(client, "endings",
             absl::StrCat("stopped by \"", ending.stop, "\", not \"", expected.stop, "\""));
  }
}

void StreamChecker::CheckText(const Client& client, const Expected& expected) {
  const End end = client.ending->end;
  // What is held back comes when the stream ends for good; who asks for the rest gets it then.
  const bool for_good = end == End::kStop || end == End::kLength ||
                        (end == End::kCancelled && client.streams == 1 && client.connected);
  const bool fits =
      for_good ? client.text == expected.text : expected.text.starts_with(client.text);
  if (fits) return;
  Complain(client, "text",
           absl::StrCat("\"", client.text, "\", its ids say \"", expected.text, "\""));
}

void StreamChecker::CheckDetails(const Client& client, const Oracle::Answer& answer) {
  const ClientAsk& ask = client.plan->ask;
  if (ask.logprobs.has_value() &&
      !std::ranges::equal(client.logprobs, std::span(answer.logprobs).first(client.ids.size()))) {
    Complain(client, "logprobs", "log-probabilities differ from those alone");
  }
  if (client.ids.empty()) return;
  if (ask.prompt_logprobs.has_value() && client.prompt_logprobs != answer.prompt_logprobs) {
    Complain(client, "logprobs", "log-probabilities of the prompt differ from those alone");
  }
  if (!ask.routed_experts) return;
  const auto per_position =
      static_cast<std::size_t>(args_.toy.config.moe_layers * args_.toy.config.topk);
  const End end = client.ending->end;
  const std::size_t positions = ask.prompt.size() + client.ids.size() - 1;
  if (client.routed.size() < positions * per_position &&
      (end == End::kStop || end == End::kLength)) {
    return Complain(client, "logprobs", "routed experts are missing");
  }
  const std::size_t common = std::min(client.routed.size(), positions * per_position);
  if (!std::ranges::equal(std::span(client.routed).first(common),
                          std::span(answer.routed).first(common))) {
    Complain(client, "logprobs", "routed experts differ from those alone");
  }
}

void StreamChecker::CheckUsage(const Client& client) {
  const Usage& usage = client.ending->usage;
  const Timing& timing = client.ending->timing;
  // One that is run again may be cut before it is where the last stream was.
  const int count = static_cast<int>(client.ids.size());
  if (usage.completion_tokens != count &&
      (client.streams == 1 || usage.completion_tokens > count)) {
    Complain(client, "usage",
             absl::StrCat("says ", usage.completion_tokens, " tokens, sent ", client.ids.size()));
  }
  if (usage.cached_prompt_tokens < 0 || usage.cached_prompt_tokens > usage.prompt_tokens ||
      (!args_.options.coordinator.prefix_cache && usage.cached_prompt_tokens != 0)) {
    Complain(client, "usage", absl::StrCat(usage.cached_prompt_tokens, " cached tokens"));
  }
  if (timing.queue < 0 || timing.first_token < 0 || timing.total < timing.first_token ||
      (!client.attached && timing.total > client.ended - client.asked)) {
    Complain(client, "usage", "impossible times");
  }
}

}  // namespace conclave::sim
