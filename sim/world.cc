#include "sim/world.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"

namespace conclave::sim {
namespace {

constexpr Micros kRest = 60'000;  // what is on its way still arrives

// Streams of the seed's dice.
enum class Roll : std::uint64_t { kWorld = 1, kWires, kClients, kFaults, kText };
Dice DiceFor(std::uint64_t seed, Roll roll) { return Dice(seed, static_cast<std::uint64_t>(roll)); }

ServedModel ModelOf(const Toy& toy) {
  return {.facts = toy.hello.model, .eos_ids = toy.config.eos_ids, .context_per_row = 50};
}

}  // namespace

World::World(const Args& args)
    : args_(args),
      dice_(DiceFor(args.seed, Roll::kWorld)),
      text_dice_(DiceFor(args.seed, Roll::kText)),
      text_delay_max_(TextDelayMax(text_dice_)),
      history_(args.trace),
      plans_(args.options, complaints_),
      streams_({args.options, args.toy, args.oracle, complaints_, TextSlack()}),
      epochs_(args.toy, complaints_),
      wires_({schedule_, history_, DiceFor(args.seed, Roll::kWires), args.options.wire_delay_max,
              args.tamper}) {
  Dice clients = DiceFor(args.seed, Roll::kClients);
  client_plans_ = PlanClients(args.options, args.toy, clients);
  Dice faults = DiceFor(args.seed, Roll::kFaults);
  fault_plans_ = PlanFaults(args.options, faults);
  report_.endings.resize(static_cast<std::size_t>(End::kInternal) + 1);
  last_event_ = args.options.faults.heals_at;
  StartCoordinator();
  StartNodes();
  StartOperator();
  StartClients();
  for (const Fault& fault : fault_plans_) {
    schedule_.At(fault.at, [this, &fault] { Arm(fault); });
  }
  if (args.options.faults.heals_at > 0) {
    schedule_.At(args.options.faults.heals_at, [this] { Heal(); });
  }
  schedule_.After(args_.options.tick_every, [this] { Tick(); });
}

World::~World() = default;

// ---- the coordinator

void World::StartCoordinator() {
  core_ = std::make_unique<CoordinatorCore>(args_.options.coordinator, ModelOf(args_.toy),
                                            args_.toy.text.get());
  stages_ = std::make_unique<TextStages>(args_.toy.text.get(), static_cast<TextSink&>(*this));
  ++coordinators_;
  texts_.clear();
  epochs_.CoordinatorBegins();
  plans_.CoordinatorBegins();
  endings_ = 0;
}

// The process is gone, and all its streams with it; another begins a while later.
void World::StopCoordinator(Micros down) {
  if (core_ == nullptr) return;
  history_.Trace(schedule_.now(), "the coordinator is gone");
  const ClusterStatus status = core_->Status(schedule_.now());
  report_.steps += status.steps;
  report_.tokens += status.emitted_tokens;
  report_.preemptions += status.preemptions;
  report_.cached_tokens += status.cached_prompt_tokens;
  core_.reset();
  stages_.reset();
  ++coordinators_;
  live_.clear();
  unended_.clear();
  admin_tickets_.clear();
  for (const auto& link : links_) CloseAtCoordinator(*link, true);
  for (Client& client : clients_) LoseStream(client, false);
  schedule_.After(down, [this] {
    history_.Trace(schedule_.now(), "a coordinator begins");
    StartCoordinator();
  });
}

void World::Tell(CoordinatorEvent event) {
  if (core_ == nullptr) return;
  if (args_.tamper != nullptr && !args_.tamper->OfEvent(event)) return;
  const Epoch before = epochs_.committed();
  CoordinatorOutbox outbox;
  core_->Handle(event, outbox);
  core_->CheckInvariants();
  outbox = OneByOne(std::move(outbox));
  if (args_.tamper != nullptr) args_.tamper->OfCoordinator(outbox);
  if (core_->ready()) ready_last_ = schedule_.now();
  epochs_.Handled(event, before, outbox);
  for (CoordinatorEffect& effect : outbox) Carry(effect);
  if (epochs_.committed() != before) ++report_.epochs;
}

void World::Carry(CoordinatorEffect& effect) {
  if (auto* order = std::get_if<TellText>(&effect)) {
    ToText(std::move(*order));
  } else if (auto* tell = std::get_if<TellClient>(&effect)) {
    live_.erase(tell->request);
    Deliver(tell->request, tell->part);
    SendParts();
  } else if (const auto* say = std::get_if<TellWorker>(&effect)) {
    ToNode(say->link, say->message);
  } else if (const auto* drop = std::get_if<DropLink>(&effect)) {
    DropNode(drop->link, drop->reason);
  } else if (const auto* admin = std::get_if<TellAdmin>(&effect)) {
    if (admin_tickets_.erase(admin->ticket) == 0) {
      complaints_.Add("[endings] an operator is told twice");
    }
    if (admin->status.ok() && rebalance_tickets_.contains(admin->ticket)) ++report_.rebalances;
    history_.Trace(schedule_.now(),
                   absl::StrCat("to the operator: ", admin->text, " ", admin->status.ToString()));
  } else if (const auto* line = std::get_if<LogLine>(&effect)) {
    history_.Trace(schedule_.now(), line->text);
  }
}

// ---- time

void World::Tick() {
  Tell(Ticked{schedule_.now()});
  if (++ticks_ % 8 == 0) CheckNow();
  if (ticks_ % 64 == 0) CheckStuck();
  schedule_.After(args_.options.tick_every, [this] { Tick(); });
  if (!Over()) {
    rest_until_ = 0;
  } else if (rest_until_ == 0) {
    rest_until_ = schedule_.now() + kRest + TextSlack();
  } else if (schedule_.now() >= rest_until_ && Settled()) {
    done_ = true;
  }
}

// Nothing more will be asked of the cluster, and nothing more will go wrong.
bool World::Over() const {
  return streams_open_ == 0 && asks_left_ == 0 && schedule_.now() >= last_event_;
}

Report World::Run() {
  const SimOptions& options = args_.options;
  const Micros end = options.faults.heals_at > 0 ? options.faults.heals_at + options.faults.bound
                                                 : options.time_max;
  while (!complaints_.any() && !done_ && schedule_.RunNext()) {
    for (const std::string& complaint : wires_.complaints()) complaints_.Add(complaint);
    if (schedule_.now() <= end) continue;
    complaints_.Add(absl::StrCat("[liveness] ", streams_open_, " streams have not ended, ",
                                 asks_left_, " were not begun"));
    for (const Client& client : clients_) {
      if (client.ending.has_value()) continue;
      complaints_.Add(absl::StrCat("[liveness] ", client.plan->ask.id, " has ", client.ids.size(),
                                   " tokens and never ended"));
    }
    if (core_ != nullptr && streams_open_ == 0) CheckTheEnd();
  }
  if (!complaints_.any()) CheckTheEnd();
  return Conclude();
}

}  // namespace conclave::sim
