#include "sim/world.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "protocol/codec.h"

namespace conclave::sim {
namespace {

constexpr Micros kBeatEvery = 100'000;

// Streams of the seed's dice.
enum class Roll : std::uint64_t { kWorld = 1, kWires, kClients, kFaults, kNodes = 100 };
Dice DiceFor(std::uint64_t seed, Roll roll, int number = 0) {
  return Dice(seed, static_cast<std::uint64_t>(roll) + static_cast<std::uint64_t>(number));
}

CoordinatorCore::Model ModelOf(const Toy& toy) {
  return {.facts = toy.hello.model, .eos_ids = toy.config.eos_ids};
}

}  // namespace

World::World(const Args& args)
    : args_(args),
      dice_(DiceFor(args.seed, Roll::kWorld)),
      history_(args.trace),
      plans_(args.options, complaints_),
      streams_({args.options, args.toy, args.oracle, complaints_}),
      wires_({schedule_, history_, DiceFor(args.seed, Roll::kWires), args.options.wire_delay_max,
              args.tamper}),
      core_(std::make_unique<CoordinatorCore>(args.options.coordinator, ModelOf(args.toy),
                                              args.toy.text.get())) {
  Dice clients = DiceFor(args.seed, Roll::kClients);
  client_plans_ = PlanClients(args.options, args.toy, clients);
  Dice faults = DiceFor(args.seed, Roll::kFaults);
  fault_plans_ = PlanFaults(args.options, faults);
  StartNodes();
  StartClients();
  for (const Fault& fault : fault_plans_) {
    schedule_.At(fault.at, [this, &fault] { Arm(fault); });
  }
  schedule_.After(args_.options.tick_every, [this] { Tick(); });
}

World::~World() = default;

// ---- what there is at the beginning

Node::Args World::NodeArgs(int number) {
  return {
      .number = number,
      .shape = args_.options.nodes[static_cast<std::size_t>(number)],
      .toy = args_.toy,
      .schedule = schedule_,
      .history = history_,
      .wires = wires_,
      .dice = DiceFor(args_.seed, Roll::kNodes, number),
      .tamper = args_.tamper,
      .say = [this, number](FromWorker message,
                            Micros computing) { FromNode(number, std::move(message), computing); },
      .exchange_begun =
          [this, number] {
            if (links_[static_cast<std::size_t>(number)]->strike_in_exchange) Crash(number);
          },
      .complain = [this](std::string what) { complaints_.Add(std::move(what)); }};
}

void World::StartNodes() {
  for (int number = 0; number < static_cast<int>(args_.options.nodes.size()); ++number) {
    links_.push_back(std::make_unique<Link>());
    Link& link = *links_.back();
    link.id = LinkId{static_cast<std::uint64_t>(number) + 1};
    link.node = std::make_unique<Node>(NodeArgs(number));
    const Micros when =
        args_.options.nodes[static_cast<std::size_t>(number)].joins_at + Delay(2'000);
    last_join_ = std::max(last_join_, when);
    link.to_coordinator = when;
    schedule_.At(when, [this, id = link.id] { Tell(WorkerArrived{schedule_.now(), id}); });
    FromNode(number, link.node->SayHello(), when);
    schedule_.At(when + kBeatEvery, [this, number] { Beat(number); });
  }
}

void World::StartClients() {
  for (const ClientPlan& plan : client_plans_) {
    asks_left_ += plan.twice ? 2 : 1;
    schedule_.At(plan.at, [this, &plan] { Ask(plan); });
    if (plan.twice) schedule_.At(plan.at + Delay(20'000), [this, &plan] { Ask(plan); });
  }
}

// ---- time

void World::Tick() {
  Tell(Ticked{schedule_.now()});
  if (++ticks_ % 8 == 0) CheckNow();
  schedule_.After(args_.options.tick_every, [this] { Tick(); });
}

void World::Beat(int number) {
  Node& node = *links_[static_cast<std::size_t>(number)]->node;
  if (!node.alive()) return;
  node.Beat();
  schedule_.After(kBeatEvery, [this, number] { Beat(number); });
}

// ---- between coordinator and workers

World::Link* World::Find(LinkId id) {
  const auto index = static_cast<std::size_t>(id.value - 1);
  return index < links_.size() ? links_[index].get() : nullptr;
}

void World::FromNode(int number, FromWorker message, Micros computing) {
  Link& link = *links_[static_cast<std::size_t>(number)];
  const Micros leaves = schedule_.now() + computing;
  link.to_coordinator = std::max(link.to_coordinator, leaves + Delay(args_.options.link_delay_max));
  schedule_.At(link.to_coordinator, [this, &link, leaves, bytes = Encode(message)] {
    if (link.died.has_value() && (link.lost || leaves > *link.died)) return;
    absl::StatusOr<FromWorker> decoded = DecodeFromWorker(bytes);
    if (!decoded.ok()) return complaints_.Add(std::string(decoded.status().message()));
    history_.Note(schedule_.now(), "to coordinator", link.node->number(), bytes);
    if (const auto* result = std::get_if<StepResult>(&*decoded)) plans_.Answered(*result);
    if (const auto* broken = std::get_if<StepBroken>(&*decoded)) {
      Unhealthy(absl::StrCat("step ", broken->step.value, " broke: ", broken->error));
    }
    if (const auto* ready = std::get_if<Ready>(&*decoded); ready != nullptr && !ready->ok) {
      Unhealthy(absl::StrCat("not ready: ", ready->error));
    }
    Tell(WorkerSaid{schedule_.now(), link.id, *std::move(decoded)});
  });
}

void World::ToNode(LinkId id, const ToWorker& message) {
  Link* link = Find(id);
  if (link == nullptr) return complaints_.Add("a message for a link that never was");
  if (const auto* ask = std::get_if<StepAsk>(&message)) {
    plans_.Sent(*ask, args_.options.nodes[static_cast<std::size_t>(link->node->number())]);
  }
  link->to_worker =
      std::max(link->to_worker, schedule_.now() + Delay(args_.options.link_delay_max));
  schedule_.At(link->to_worker, [this, link, bytes = Encode(message)] {
    if (!link->node->alive()) return;
    absl::StatusOr<ToWorker> decoded = DecodeToWorker(bytes);
    if (!decoded.ok()) return complaints_.Add(std::string(decoded.status().message()));
    history_.Note(schedule_.now(), "to worker", link->node->number(), bytes);
    if (args_.tamper != nullptr) args_.tamper->OfArrival(link->node->number(), *decoded);
    const bool prepare = std::holds_alternative<Prepare>(*decoded);
    link->node->Hear(*std::move(decoded));
    if (prepare && link->strike_in_prepare) Crash(link->node->number());
  });
}

void World::DropNode(LinkId id, const std::string& reason) {
  Link* link = Find(id);
  if (link == nullptr) return complaints_.Add("a link is dropped that never was");
  // Whoever lives answers in time here: nobody may be dropped for another's death.
  const std::string what = absl::StrCat("link ", id.value, " is dropped: ", reason);
  if (link->node->alive()) complaints_.Add(what);
  history_.Trace(schedule_.now(), what);
  link->to_worker = std::max(link->to_worker, schedule_.now() + 1);
  schedule_.At(link->to_worker, [link] { link->node->Kill(); });
}

// Without a fault nothing of this kind may happen.
void World::Unhealthy(const std::string& what) {
  history_.Trace(schedule_.now(), what);
  if (faults_ == 0) complaints_.Add(what);
}

// ---- between coordinator and clients

void World::Ask(const ClientPlan& plan) {
  --asks_left_;
  ++streams_open_;
  const RequestId request{next_request_++};
  Client& client = clients_[request];
  client.plan = &plan;
  client.request = request;
  client.asked = schedule_.now();
  client.live_then = live_.size();
  client.name_taken =
      std::ranges::any_of(live_, [&](const auto& live) { return live.second == plan.ask.id; });
  live_[request] = plan.ask.id;
  ClientAsk ask = plan.ask;
  if (ask.deadline.has_value()) *ask.deadline += schedule_.now();
  if (plan.leaves_after.has_value()) {
    schedule_.After(*plan.leaves_after, [this, &client] { Leave(client); });
  }
  Tell(ClientAsked{schedule_.now(), request, std::move(ask)});
}

void World::Leave(Client& client) {
  if (client.ending.has_value() || client.left.has_value()) return;
  client.left = schedule_.now();
  schedule_.After(Delay(args_.options.client_delay_max), [this, &client] {
    const Micros now = schedule_.now();
    if (client.plan->aborts && !client.name_taken) {
      Tell(AbortAsked{now, client.plan->ask.id});
    } else {
      Tell(ClientLeft{now, client.request});
    }
  });
}

void World::ToClient(RequestId request, StreamPart part) {
  const auto found = clients_.find(request);
  if (found == clients_.end()) return complaints_.Add("a part for nobody");
  Client& client = found->second;
  if (part.ending.has_value()) {
    live_.erase(request);
    client.ended = schedule_.now();
  }
  client.reads_until = std::max(client.reads_until + client.plan->reads_every,
                                schedule_.now() + Delay(args_.options.client_delay_max));
  schedule_.At(client.reads_until, [this, &client, part = std::move(part)] { Read(client, part); });
}

void World::Read(Client& client, const StreamPart& part) {
  streams_.Part(client, part);
  ++client.parts;
  const auto add = [](auto& to, const auto& from) {
    to.insert(to.end(), from.begin(), from.end());
  };
  add(client.ids, part.ids);
  client.text += part.text;
  add(client.logprobs, part.logprobs);
  add(client.prompt_logprobs, part.prompt_logprobs);
  add(client.routed, part.routed);
  history_.Note(schedule_.now(), "read", static_cast<std::int64_t>(client.request.value),
                part.text);
  for (const TokenId id : part.ids) history_.Note(schedule_.now(), "token", id, "");
  if (part.ending.has_value() && !client.ending.has_value()) {
    client.ending = part.ending;
    --streams_open_;
    history_.Trace(
        schedule_.now(),
        absl::StrCat("request ", client.request.value, " has ended after ", client.ids.size(),
                     " tokens: ", static_cast<int>(part.ending->end), " ", part.ending->message));
    streams_.Whole(client);
  } else if (client.plan->leaves_at_token.has_value() &&
             client.ids.size() >= static_cast<std::size_t>(*client.plan->leaves_at_token)) {
    Leave(client);
  }
}

// ---- the coordinator

void World::Tell(CoordinatorEvent event) {
  if (args_.tamper != nullptr && !args_.tamper->OfEvent(event)) return;
  CoordinatorOutbox outbox;
  core_->Handle(event, outbox);
  core_->CheckInvariants();
  if (args_.tamper != nullptr) args_.tamper->OfCoordinator(outbox);
  for (const CoordinatorEffect& effect : outbox) Carry(effect);
}

void World::Carry(const CoordinatorEffect& effect) {
  if (const auto* tell = std::get_if<TellClient>(&effect)) {
    ToClient(tell->request, tell->part);
  } else if (const auto* say = std::get_if<TellWorker>(&effect)) {
    ToNode(say->link, say->message);
  } else if (const auto* drop = std::get_if<DropLink>(&effect)) {
    DropNode(drop->link, drop->reason);
  } else {
    if (const auto* line = std::get_if<LogLine>(&effect)) history_.Trace(schedule_.now(), line->text);
  }
}

// ---- faults

void World::Arm(const Fault& fault) {
  // Before the first epoch a cluster waits for all its workers, and so does a fault.
  if (!core_->ready() && faults_ == 0) {
    schedule_.After(args_.options.tick_every, [this, &fault] { Arm(fault); });
    return;
  }
  Link& link = *links_[static_cast<std::size_t>(fault.node)];
  switch (fault.kind) {
    case FaultKind::kCrash:
      return Crash(fault.node);
    case FaultKind::kCrashInExchange:
      link.strike_in_exchange = true;
      return;
    case FaultKind::kCrashInPrepare:
      link.strike_in_prepare = true;
      return;
  }
}

void World::Crash(int number) {
  Link& link = *links_[static_cast<std::size_t>(number)];
  if (!link.node->alive()) return;
  ++faults_;
  history_.Trace(schedule_.now(), absl::StrCat("node ", number, " crashes"));
  link.node->Kill();
  link.died = schedule_.now();
  link.lost = dice_.Percent(50);
  link.to_coordinator =
      std::max(link.to_coordinator, schedule_.now() + Delay(args_.options.link_delay_max));
  schedule_.At(link.to_coordinator, [this, id = link.id] {
    Tell(WorkerGone{schedule_.now(), id, "the stream ended"});
  });
}

// ---- the whole

Report World::Run() {
  Micros rest_until = 0;
  while (!complaints_.any()) {
    if (!schedule_.RunNext()) break;
    for (const std::string& complaint : wires_.complaints()) complaints_.Add(complaint);
    if (schedule_.now() > args_.options.time_max) {
      complaints_.Add(
          absl::StrCat(streams_open_, " streams have not ended, ", asks_left_, " were not begun"));
      for (const auto& [request, client] : clients_) {
        if (!client.ending.has_value()) {
          complaints_.Add(absl::StrCat("request ", request.value, " never ended"));
        }
      }
    }
    if (streams_open_ > 0 || asks_left_ > 0 || schedule_.now() < last_join_) continue;
    // What is on its way still arrives.
    if (rest_until == 0) rest_until = schedule_.now() + 60'000;
    if (schedule_.now() >= rest_until && Settled()) break;
  }
  if (!complaints_.any()) CheckTheEnd();
  return Conclude();
}

}  // namespace conclave::sim
