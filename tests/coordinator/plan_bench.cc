#include "plan_bench.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/admission.h"
#include "coordinator/audit.h"
#include "coordinator/placement/assign.h"
#include "coordinator/results.h"
#include "coordinator/resume.h"
#include "coordinator/schedule/plan_step.h"
#include "coordinator/streams/streams.h"

namespace conclave {
PlanBench::PlanBench(const CoordinatorConfig& config, const std::vector<WorkerShape>& shapes)
    : shapes_(shapes), state_(config, ServedModel{.facts = FakeFacts()}, nullptr) {
  for (int slot = 0; slot < workers(); ++slot) Restart(slot);
  OpenEpoch();
}

void PlanBench::Restart(int slot) {
  const auto at = static_cast<std::size_t>(slot);
  const Hello hello = World::HelloOf(absl::StrCat("w", next_uuid_++), shapes_[at]);
  workers_[slot] = std::make_unique<FakeWorker>(hello, Slot{slot});
  standby_[slot] = hello.standby_address;
  state_.homes[at] =
      std::make_unique<Home>(hello, Slot{slot}, LinkId{next_uuid_}, state_.config.prefix_cache);
}

void PlanBench::OpenEpoch() {
  state_.epoch = state_.epoch.Next();
  state_.live.clear();
  std::vector<PlacementWorker> workers;
  Prepare prepare{.epoch = state_.epoch, .peers = {}, .placement = {}};
  for (const auto& [slot, worker] : workers_) {
    state_.live.push_back(Slot{slot});
    workers.push_back({.slot = Slot{slot}});
    prepare.peers.push_back({Slot{slot}, worker->hello().uuid, standby_.at(slot)});
  }
  const ModelFacts facts = FakeFacts();
  prepare.placement = *PlaceExperts({.moe_layers = facts.moe_layers,
                                     .experts = facts.experts,
                                     .expert_bytes = facts.expert_bytes,
                                     .workers = workers});
  for (auto& [slot, worker] : workers_) {
    worker->Hear(prepare);
    standby_[slot] = std::get<Ready>(worker->said().back()).standby_address;
    worker->said().clear();
    worker->Hear(Commit{state_.epoch, StepId{state_.step_planned.value + 1}});
  }
}

RequestId PlanBench::Ask(ClientAsk ask) {
  const RequestId id{next_request_++};
  clients_[id].ask = ask;
  steps_[id];
  std::int64_t blocks_max = 0;
  for (const WorkerShape& shape : shapes_) {
    blocks_max = std::max<std::int64_t>(blocks_max, shape.kv_blocks);
  }
  ClientAsked asked{.now = now_, .request = id, .ask = std::move(ask)};
  Admission admission = Admit(
      asked,
      {.config = state_.config, .model = state_.model, .text = nullptr, .blocks_max = blocks_max});
  if (auto* request = std::get_if<std::unique_ptr<Request>>(&admission)) {
    state_.requests.Add(std::move(*request));
  } else {
    clients_[id].ending = std::get<Ending>(admission);
  }
  return id;
}

void PlanBench::Cancel(RequestId id) {
  Request* request = Find(id);
  if (request == nullptr) return;
  CoordinatorOutbox outbox;
  EndRequest(state_, *request, now_, {.end = End::kCancelled}, outbox);
  Read(outbox, {});
}

void PlanBench::Drain(int slot, bool draining) { HomeAt(slot).draining = draining; }

bool PlanBench::Plan() {
  if (state_.in_flight.size() >= static_cast<std::size_t>(state_.config.plans_ahead)) return false;
  std::optional<StepPlan> plan = PlanStep(state_, now_);
  Audit(state_);
  if (!plan.has_value()) return false;
  for (StepAsk& ask : AsksFor(*plan)) {
    state_.in_flight.back().digest = ask.digest;
    const int slot = ask.part.slot.value;
    WorkerAt(slot).Hear(std::move(ask));
  }
  plans_.push_back(*std::move(plan));
  return true;
}

void PlanBench::RunStep(int slot) {
  if (WorkerAt(slot).HasStep()) WorkerAt(slot).RunStep();
}

void PlanBench::Deliver(int slot) {
  std::deque<FromWorker>& said = WorkerAt(slot).said();
  if (said.empty()) return;
  const StepResult result = std::get<StepResult>(std::move(said.front()));
  said.pop_front();
  WorkerLink link;
  link.slot = Slot{slot};
  CoordinatorOutbox outbox;
  const Reception reception = ReceiveResult(state_, link, ++now_, result, outbox);
  EXPECT_EQ(reception.trust, Trust::kApplied) << reception.why;
  Read(outbox, result.step);
  Audit(state_);
}

void PlanBench::Go(int rounds) {
  for (int round = 0; round < rounds; ++round) {
    while (Plan()) continue;
    if (state_.in_flight.empty()) return;
    for (const Slot slot : state_.live) {
      RunStep(slot.value);
      Deliver(slot.value);
    }
  }
}

void PlanBench::Lose(int slot) {
  Evict(state_, Slot{slot});
  workers_.erase(slot);
}

void PlanBench::Reform() {
  // What they said before they heard of the new epoch still counts.
  for (const auto& [slot, worker] : workers_) {
    while (!worker->said().empty()) Deliver(slot);
  }
  for (const Slot slot : state_.live) RollBack(state_, slot);
  state_.in_flight.clear();
  OpenEpoch();
  Audit(state_);
}

void PlanBench::Read(CoordinatorOutbox& outbox, StepId step) {
  const auto add = [step, this](RequestId request, TextToken& token) {
    Client& client = clients_.at(request);
    client.ids.push_back(token.id);
    if (!token.prompt_logprobs.empty()) client.prompt_logprobs = std::move(token.prompt_logprobs);
    steps_.at(request).push_back(step);
  };
  for (CoordinatorEffect& effect : outbox) {
    auto* order = std::get_if<TellText>(&effect);
    if (order == nullptr) continue;
    if (auto* token = std::get_if<TextToken>(&order->what)) add(order->request, *token);
    auto* ending = std::get_if<TextEnding>(&order->what);
    if (ending == nullptr) continue;
    if (ending->last.has_value()) add(order->request, *ending->last);
    Client& client = clients_.at(order->request);
    client.routed = std::move(ending->routed);
    client.ending = std::move(ending->ending);
  }
}

void PlanBench::ExpectExact() {
  for (const auto& [slot, worker] : workers_) {
    for (const std::string& complaint : worker->complaints()) ADD_FAILURE() << complaint;
  }
  for (const auto& [id, client] : clients_) {
    SCOPED_TRACE(absl::StrCat("request ", id.value));
    ASSERT_TRUE(client.ending.has_value()) << "never ended";
    const std::vector<TokenId> expected =
        Oracle(client.ask.prompt, *client.ask.max_tokens, FakeFacts().vocab);
    const bool whole = client.ending->end == End::kLength;
    ASSERT_LE(client.ids.size(), expected.size());
    EXPECT_TRUE(std::ranges::equal(client.ids, std::span(expected).first(client.ids.size())));
    if (!whole) continue;
    EXPECT_EQ(client.ids.size(), expected.size());
    if (client.ask.routed_experts) {
      std::vector<TokenId> fed = client.ask.prompt;
      fed.insert(fed.end(), expected.begin(), expected.end() - 1);
      EXPECT_EQ(client.routed, RoutedOf(fed));
    }
    if (client.ask.prompt_logprobs.has_value()) {
      EXPECT_EQ(client.prompt_logprobs.size(), client.ask.prompt.size() - 1);
    }
  }
}

}  // namespace conclave
