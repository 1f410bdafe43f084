#include "sim/node.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace conclave::sim {
namespace {

constexpr Micros kBeatEvery = 100'000;

}  // namespace

Node::Node(Args args) : args_(std::move(args)), clock_(args_.schedule) {
  auto shard = Shard::Load({.model = args_.toy.config,
                            .tensors = *args_.toy.tensors,
                            .kernels = kRefKernels,
                            .role = args_.shape.role,
                            .lanes = lanes_,
                            .progress = {},
                            .expert_memory_bytes = args_.shape.expert_memory_bytes});
  CONCLAVE_CHECK(shard.ok(), "%s", std::string(shard.status().message()).c_str());
  shard_ = *std::move(shard);
  BeginLife();
}

void Node::Wire(Words say, Words truth) {
  say_ = std::move(say);
  truth_ = std::move(truth);
  Beat();
}

void Node::BeginLife() {
  uuid_ = absl::StrCat("uuid-", args_.number, "-", args_.process, "-", ++lives_);
  const WorkerConfig config = {.role = args_.shape.role,
                               .uuid = uuid_,
                               .address = absl::StrCat("node-", args_.number),
                               .exchange_name = "virtual",
                               .kv_dtype = DType::kBf16,
                               .kv_blocks = args_.shape.kv_blocks,
                               .rows_max = args_.shape.rows_max,
                               .arrivals_max = args_.shape.arrivals_max,
                               .sequences_max = args_.shape.rows_max * 2,
                               .model_identity = args_.toy.hello.model.identity};
  core_ =
      std::make_unique<WorkerCore>(config, args_.toy.config, kRefKernels, *shard_, lanes_, clock_);
  standby_ = args_.wires.NewEndpoint(args_.number, args_.process);
  used_ = false;
  exchange_ = 0;
}

Hello Node::SayHello() {
  Hello hello = args_.toy.hello;
  hello.uuid = uuid_;
  hello.role = args_.shape.role;
  hello.address = absl::StrCat("node-", args_.number);
  hello.standby_address = args_.wires.AddressOf(standby_);
  hello.kv_blocks = args_.shape.kv_blocks;
  hello.rows_max = args_.shape.rows_max;
  hello.arrivals_max = args_.shape.arrivals_max;
  hello.expert_memory_bytes = args_.shape.expert_memory_bytes;
  hello.last_epoch = last_epoch_;
  hello.last_slot = last_slot_;
  if (args_.shape.flaw == Flaw::kOtherModel) ++hello.model.identity;
  if (args_.shape.flaw == Flaw::kOtherNumerics) ++hello.numerics;
  return hello;
}

// ---- the process

void Node::Do(std::function<void()> deed) {
  if (!alive_) return;
  if (hung_) {
    frozen_.push_back(std::move(deed));
  } else {
    deed();
  }
}

void Node::Later(Micros delay, std::function<void()> deed) {
  args_.schedule.After(delay, [this, deed = std::move(deed)]() mutable { Do(std::move(deed)); });
}

void Node::Kill() {
  if (!alive_) return;
  alive_ = false;
  frozen_.clear();
  queue_.clear();
  args_.wires.Kill(args_.process);
}

void Node::Hang() { hung_ = alive_; }

void Node::Wedge() {
  wedged_ = alive_;
  wedged_waiting_ = Waiting();
  looked_ = args_.schedule.now();
}

void Node::GoOn() {
  if (!alive_) return;
  hung_ = false;
  while (alive_ && !hung_ && !frozen_.empty()) {
    const std::function<void()> deed = std::move(frozen_.front());
    frozen_.pop_front();
    deed();
  }
  wedged_ = false;
  if (std::exchange(stuck_, false)) EndOfWork();
  RunStrand();
}

void Node::FailNextLoad() { fail_next_load_ = true; }

// ---- the control stream

void Node::LinkUp() { Post(Up{}); }

void Node::LinkLost() {
  welcomed_ = false;
  if (open_ && !wedged_) args_.wires.Abort(current_);
  Post(Lost{});
}

void Node::Hear(ToWorker message) {
  if (const auto* welcome = std::get_if<Welcome>(&message)) {
    welcomed_ = true;
    last_slot_ = welcome->slot.value;
  }
  const auto* prepare = std::get_if<Prepare>(&message);
  if (prepare != nullptr) last_epoch_ = std::max(last_epoch_, prepare->epoch);
  if (const auto* load = std::get_if<Load>(&message)) {
    last_epoch_ = std::max(last_epoch_, load->epoch);
  }
  if (auto* preload = std::get_if<conclave::Preload>(&message)) {
    return Preload(std::move(*preload));
  }
  // The strand may be inside an exchange that will never finish. Not always: both orders happen.
  const bool ends_epoch = prepare != nullptr || std::holds_alternative<Goodbye>(message);
  if (ends_epoch && open_ && !wedged_ && args_.dice.Percent(50)) args_.wires.Abort(current_);
  Post(WorkerEvent(Told{std::move(message)}));
}

void Node::WantToLeave() {
  if (alive_) Post(WorkerEvent(LeaveWanted{}));
}

Wires::Waiting Node::Waiting() const {
  if (wedged_) return wedged_waiting_;
  Wires::Waiting waiting = open_ ? args_.wires.WaitingAt(current_) : Wires::Waiting{};
  return waiting;
}

void Node::Beat() {
  if (welcomed_) {
    const Wires::Waiting waiting = Waiting();
    if (!wedged_) looked_ = args_.schedule.now();
    say_(Heartbeat{.epoch = core_->epoch(),
                   .progress = core_->progress(),
                   .busy = core_->busy(),
                   .rss_bytes = 1,
                   .exchange = waiting.active ? exchange_ : 0,
                   .waits_for = waiting.missing,
                   .looks = static_cast<std::uint64_t>(looked_)});
    if (args_.schedule.now() < loads_until_) say_(LoadProgress{loads_for_, shard_->expert_bytes()});
  }
  Later(kBeatEvery, [this] { Beat(); });
}

// ---- the strand

void Node::Post(StrandEvent event) {
  queue_.push_back(std::move(event));
  RunStrand();
}

void Node::RunStrand() {
  while (alive_ && !hung_ && !wedged_ && !busy_ && !queue_.empty()) {
    const StrandEvent event = std::move(queue_.front());
    queue_.pop_front();
    if (std::holds_alternative<Up>(event)) {
      say_(SayHello());
    } else if (std::holds_alternative<Lost>(event)) {
      if (!used_) continue;
      Carry(DropAside{});
      Carry(CloseExchange{});
      args_.wires.Close(standby_);
      BeginLife();
    } else {
      used_ = true;
      Feed(std::get<WorkerEvent>(event));
    }
  }
}

void Node::Feed(const WorkerEvent& event) {
  busy_ = true;
  if (const auto* told = std::get_if<Told>(&event)) {
    if (std::holds_alternative<Prepare>(told->message)) args_.at(Moment::kPrepare);
  } else if (std::holds_alternative<ExchangeDone>(event)) {
    args_.at(Moment::kAfterExchange);
  }
  if (!alive_) return;
  effects_.clear();
  core_->Handle(event, effects_);
  for (const WorkerEffect& effect : effects_) {
    if (const auto* tell = std::get_if<Tell>(&effect)) truth_(tell->message);
  }
  if (args_.tamper != nullptr) args_.tamper->OfWorker(args_.number, effects_);
  Later(args_.dice.Between(1, args_.shape.compute_max), [this] { EndOfWork(); });
}

// The work of one event is done: now its effects show.
void Node::EndOfWork() {
  if (wedged_) {
    stuck_ = true;
    return;
  }
  const WorkerOutbox effects = std::exchange(effects_, {});
  for (const WorkerEffect& effect : effects) {
    if (!alive_) return;
    std::visit([this](const auto& one) { Carry(one); }, effect);
  }
  busy_ = false;
  RunStrand();
}

}  // namespace conclave::sim
