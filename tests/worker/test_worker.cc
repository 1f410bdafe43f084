#include "tests/worker/test_worker.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "protocol/rounds.h"

namespace conclave {

void LanesInTurn::Run(absl::FunctionRef<void(const Lane&)> work) {
  std::atomic<std::int64_t> ticket{0};
  for (int i = 0; i < count_; ++i) work(Lane{i, count_, &ticket});
}

TestCluster::TestCluster(const ModelConfig& model, const TensorSource& tensors,
                         const TestClusterOptions& options)
    : model_(model), options_(options) {
  SetComputeThreadFloatMode();
  const int slots = options.workers + options.expert_workers;
  for (int slot = 0; slot < slots; ++slot) {
    // Experts-only workers take even slots while there are some, so that slots and homes differ.
    auto node = std::make_unique<Node>();
    const bool homes_full = static_cast<int>(homes_.size()) == options.workers;
    const bool experts_left = slot - static_cast<int>(homes_.size()) < options.expert_workers;
    const Role role = homes_full || (experts_left && slot % 2 == 0) ? Role::kExpert : Role::kWorker;
    if (role == Role::kWorker) homes_.push_back(slot);
    node->lanes = std::make_unique<LanesInTurn>(options.lanes);
    auto shard = Shard::Load({.model = model,
                              .tensors = tensors,
                              .kernels = *options.kernels,
                              .role = role,
                              .lanes = *node->lanes,
                              .progress = {}});
    CONCLAVE_CHECK(shard.ok(), "%s", std::string(shard.status().message()).c_str());
    node->shard = *std::move(shard);
    const WorkerConfig config{.role = role,
                              .uuid = "uuid-" + std::to_string(slot),
                              .address = "here",
                              .exchange_name = "by hand",
                              .kv_dtype = options.kv_dtype,
                              .kv_blocks = options.kv_blocks,
                              .rows_max = options.rows_max,
                              .arrivals_max = options.arrivals_max,
                              .sequences_max = options.sequences_max};
    node->core = std::make_unique<WorkerCore>(config, model, *options.kernels, *node->shard,
                                              *node->lanes, node->trace);
    node->outbox.reserve(64);
    node->told.reserve(64);
    nodes_.push_back(std::move(node));
  }
  CONCLAVE_CHECK(static_cast<int>(homes_.size()) == options.workers, "%zu homes", homes_.size());
  Reconfigure(DefaultPlacement());
}

TestCluster::~TestCluster() = default;

Placement TestCluster::DefaultPlacement() const {
  PlacementBuilder placement(model_.moe_layers, model_.experts);
  for (int l = 0; l < model_.moe_layers; ++l) {
    for (int e = 0; e < model_.experts; ++e) {
      const std::vector<int> owners =
          options_.owners ? options_.owners(l, e, size()) : std::vector<int>{e % size()};
      for (const int owner : owners) placement.AddOwner(l, e, Slot{owner});
    }
  }
  return placement.Build();
}

void TestCluster::Reconfigure(const Placement& placement) {
  epoch_ = epoch_.Next();
  Prepare prepare{.epoch = epoch_, .peers = {}, .placement = placement};
  for (int i = 0; i < size(); ++i) {
    prepare.peers.push_back({Slot{i}, "uuid-" + std::to_string(i), "address"});
  }
  for (int i = 0; i < size(); ++i) Deliver(i, Told{prepare});
  for (int i = 0; i < size(); ++i) {
    bool ready = false;
    for (const FromWorker& message : TakeTold(i)) {
      if (const auto* answer = std::get_if<Ready>(&message)) {
        CONCLAVE_CHECK(answer->ok, "worker %d: %s", i, answer->error.c_str());
        ready = answer->epoch == epoch_;
      }
    }
    CONCLAVE_CHECK(ready, "worker %d is not ready", i);
    Deliver(i, Told{Commit{epoch_, next_step_}});
  }
}

std::vector<FromWorker> TestCluster::TakeTold(int worker) {
  return std::exchange(nodes_[static_cast<std::size_t>(worker)]->told, {});
}

void TestCluster::Handle(Node& node, const WorkerEvent& event) {
  if (around_handle) around_handle(true);
  node.core->Handle(event, node.outbox);
  if (around_handle) around_handle(false);
}

void TestCluster::Deliver(int worker, const WorkerEvent& event) {
  Node& node = *nodes_[static_cast<std::size_t>(worker)];
  Handle(node, event);
  // Carrying an effect may put more into the outbox.
  for (std::size_t i = 0; i < node.outbox.size(); ++i) {
    WorkerEffect effect = std::move(node.outbox[i]);
    Carry(worker, effect);
  }
  node.outbox.clear();
}

void TestCluster::Carry(int worker, WorkerEffect& effect) {
  Node& node = *nodes_[static_cast<std::size_t>(worker)];
  if (auto* tell = std::get_if<Tell>(&effect)) {
    node.told.push_back(std::move(tell->message));
  } else if (auto* load = std::get_if<LoadExperts>(&effect)) {
    const absl::Status status = node.shard->LoadMissingExperts(load->placement, load->slot);
    Handle(node, ExpertsLoaded{load->epoch, status});
  } else if (auto* aside = std::get_if<LoadAside>(&effect)) {
    const absl::Status status = node.shard->LoadMissingExperts(aside->placement, aside->slot);
    Handle(node, LoadedAside{aside->epoch, status, "aside"});
  } else if (auto* connect = std::get_if<ConnectAside>(&effect)) {
    Handle(node,
           ConnectedAside{connect->view.epoch, on_connect ? on_connect() : absl::OkStatus(), {}});
  } else if (auto* change = std::get_if<SwitchToStagedExchange>(&effect)) {
    ++node.change_overs;
    Handle(node, ExchangeOpened{change->epoch, absl::OkStatus(), "standby"});
  } else if (std::holds_alternative<DropAside>(effect)) {
    ++node.asides_dropped;
  } else if (auto* trim = std::get_if<TrimExperts>(&effect)) {
    const Shard::Share share{trim->placement, trim->slot};
    node.shard->Trim({&share, 1}).clear();
  } else if (auto* open = std::get_if<OpenExchange>(&effect)) {
    Handle(node, ExchangeOpened{open->view.epoch, absl::OkStatus(), "standby"});
  } else if (auto* start = std::get_if<StartExchange>(&effect)) {
    CONCLAVE_CHECK(!node.exchange.has_value(), "two exchanges at once");
    node.exchange = *start;
  } else if (std::holds_alternative<CloseExchange>(effect)) {
    node.exchange.reset();
  }
}

// One exchange, if every worker is in one: every frame is copied, then everybody goes on.
bool TestCluster::ExchangeAll() {
  const bool all =
      std::ranges::all_of(nodes_, [](const auto& n) { return n->exchange.has_value(); });
  if (!all) return false;
  ++exchanges_;
  const absl::Status status = on_exchange ? on_exchange() : absl::OkStatus();
  for (std::size_t from = 0; from < nodes_.size(); ++from) {
    CONCLAVE_CHECK(nodes_[from]->exchange->sends.size() == nodes_.size() - 1, "a peer is left out");
    for (const OutFrame& frame : nodes_[from]->exchange->sends) {
      FrameSink& sink = *nodes_[static_cast<std::size_t>(frame.to.value)]->exchange->sink;
      const Slot source{static_cast<std::int32_t>(from)};
      const std::span<std::byte> room = sink.Reserve(source, frame.bytes.size());
      CONCLAVE_CHECK(room.size() == frame.bytes.size(), "a frame does not fit");
      std::memcpy(room.data(), frame.bytes.data(), room.size());
      if (on_frame) on_frame(source, frame.to, room);
    }
  }
  for (const auto& node : nodes_) node->exchange.reset();
  for (int i = 0; i < size(); ++i) Deliver(i, ExchangeDone{epoch_, status});
  return true;
}

TestCluster::Outcome TestCluster::Pump() {
  while (ExchangeAll()) {
  }
  Outcome outcome;
  for (const auto& node : nodes_) {
    for (FromWorker& message : node->told) {
      if (auto* result = std::get_if<StepResult>(&message)) {
        outcome.results.push_back(std::move(*result));
      } else if (auto* broken = std::get_if<StepBroken>(&message)) {
        outcome.broken.push_back(std::move(*broken));
      }
    }
    node->told.clear();
  }
  return outcome;
}

std::vector<WorkerPart> TestCluster::EmptyParts() const {
  std::vector<WorkerPart> parts(nodes_.size());
  for (std::size_t i = 0; i < parts.size(); ++i) parts[i].slot = Slot{static_cast<int>(i)};
  return parts;
}

std::vector<StepAsk> TestCluster::Asks(const std::vector<WorkerPart>& parts) const {
  StepPlan plan{.epoch = epoch_, .step = next_step_, .parts = parts, .rounds = options_.rounds};
  if (plan.rounds == 0) {
    std::vector<std::int32_t> rows;
    for (const WorkerPart& part : parts) rows.push_back(static_cast<std::int32_t>(part.rows()));
    plan.rounds =
        RoundsFor(rows, std::vector<std::int32_t>(parts.size(), options_.arrivals_max));
  }
  return AsksFor(plan);
}

TestCluster::Outcome TestCluster::Run(const std::vector<WorkerPart>& parts) {
  const std::vector<StepAsk> asks = Asks(parts);
  next_step_ = StepId{next_step_.value + 1};
  for (int i = 0; i < size(); ++i) Deliver(i, Told{asks[static_cast<std::size_t>(i)]});
  return Pump();
}

}  // namespace conclave
