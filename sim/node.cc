#include "sim/node.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace conclave::sim {
namespace {

constexpr int kArrivalsMax = 256;

}  // namespace

Node::Node(Args args) : args_(std::move(args)), clock_(args_.schedule) {
  auto shard = Shard::Load({.model = args_.toy.config,
                            .tensors = *args_.toy.tensors,
                            .kernels = kRefKernels,
                            .role = args_.shape.role,
                            .lanes = lanes_,
                            .progress = {}});
  CONCLAVE_CHECK(shard.ok(), "%s", std::string(shard.status().message()).c_str());
  shard_ = *std::move(shard);
  const WorkerConfig config = {.role = args_.shape.role,
                               .uuid = absl::StrCat("uuid-", args_.number),
                               .address = absl::StrCat("node-", args_.number),
                               .exchange_name = "virtual",
                               .kv_dtype = DType::kBf16,
                               .kv_blocks = args_.shape.kv_blocks,
                               .rows_max = args_.shape.rows_max,
                               .arrivals_max = kArrivalsMax,
                               .sequences_max = args_.shape.rows_max * 2,
                               .model_identity = args_.toy.hello.model.identity};
  core_ =
      std::make_unique<WorkerCore>(config, args_.toy.config, kRefKernels, *shard_, lanes_, clock_);
  standby_ = args_.wires.NewEndpoint(args_.number);
}

Hello Node::SayHello() {
  Hello hello = args_.toy.hello;
  hello.uuid = absl::StrCat("uuid-", args_.number);
  hello.role = args_.shape.role;
  hello.address = absl::StrCat("node-", args_.number);
  hello.standby_address = args_.wires.AddressOf(standby_);
  hello.kv_blocks = args_.shape.kv_blocks;
  hello.rows_max = args_.shape.rows_max;
  hello.arrivals_max = kArrivalsMax;
  return hello;
}

void Node::Hear(ToWorker message) {
  if (!alive_) return;
  Feed(Told{std::move(message)});
}

void Node::Beat() {
  if (!alive_) return;
  args_.say(Heartbeat{.epoch = core_->epoch(),
                      .progress = core_->progress(),
                      .busy = core_->busy(),
                      .rss_bytes = 1},
            0);
}

void Node::Kill() {
  if (!alive_) return;
  alive_ = false;
  args_.wires.Kill(args_.number);
}

void Node::Feed(const WorkerEvent& event) {
  WorkerOutbox outbox;
  core_->Handle(event, outbox);
  if (args_.tamper != nullptr) args_.tamper->OfWorker(args_.number, outbox);
  computing_ = args_.dice.Between(1, args_.shape.compute_max);
  for (const WorkerEffect& effect : outbox) {
    if (!alive_) return;
    std::visit([this](const auto& one) { Carry(one); }, effect);
  }
}

void Node::Carry(const Tell& effect) {
  if (std::holds_alternative<StepBroken>(effect.message)) ++steps_broken_;
  args_.say(effect.message, computing_);
}

void Node::Carry(const LoadExperts& effect) {
  const Micros begin = std::max(loads_until_, args_.schedule.now());
  loads_until_ = begin + args_.dice.Between(1, args_.shape.load_max);
  args_.schedule.At(loads_until_, [this, effect] {
    if (!alive_) return;
    const absl::Status status = shard_->LoadMissingExperts(effect.placement, effect.slot);
    args_.say(LoadProgress{shard_->expert_bytes(), shard_->expert_bytes()}, 0);
    Feed(ExpertsLoaded{effect.epoch, status});
  });
}

void Node::Carry(const OpenExchange& effect) {
  if (open_) args_.complain("an exchange is opened while another is open");
  current_ = standby_;
  standby_ = args_.wires.NewEndpoint(args_.number);
  open_ = true;
  args_.wires.Open(current_, effect.view, [this, epoch = effect.view.epoch](absl::Status status) {
    if (!alive_) return;
    Feed(ExchangeOpened{epoch, std::move(status), args_.wires.AddressOf(standby_)});
  });
}

void Node::Carry(const StartExchange& effect) {
  args_.wires.Start(current_, effect.sends, effect.sink, computing_,
                    [this, epoch = effect.epoch](absl::Status status) {
                      if (!alive_) return;
                      Feed(ExchangeDone{epoch, std::move(status)});
                    });
  args_.exchange_begun();
}

void Node::Carry(const CloseExchange&) {
  if (open_) args_.wires.Close(current_);
  open_ = false;
}

void Node::Carry(const Exit&) { Kill(); }

}  // namespace conclave::sim
