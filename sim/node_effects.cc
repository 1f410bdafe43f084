// What a worker's edge does for each effect of its core.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "sim/node.h"

namespace conclave::sim {

void Node::Carry(const Tell& effect) { say_(effect.message); }

// When a load that begins now is done: one after another.
Micros Node::LoadUntil(Micros most) {
  const Micros now = args_.schedule.now();
  loads_until_ = std::max(loads_until_, now) + args_.dice.Between(1, most);
  return loads_until_ - now;
}

void Node::Carry(const LoadExperts& effect) {
  args_.at(Moment::kLoading);
  if (!alive_) return;
  loads_for_ = effect.epoch;
  must_load_ = true;
  ++preloads_;
  Later(LoadUntil(args_.shape.load_max), [this, effect] {
    if (args_.shape.flaw == Flaw::kDiesLoading) {
      return args_.exited(true, "died while loading");
    }
    ++asides_;
    aside_share_.reset();
    must_load_ = false;
    absl::Status status = shard_->LoadMissingExperts(effect.placement, effect.slot);
    if (std::exchange(fail_next_load_, false) || args_.shape.flaw == Flaw::kNoMemory) {
      status = absl::ResourceExhaustedError("no memory for experts");
    }
    say_(LoadProgress{effect.epoch, shard_->expert_bytes()});
    Post(WorkerEvent(ExpertsLoaded{effect.epoch, std::move(status)}));
  });
}

void Node::Carry(const OpenExchange& effect) {
  if (open_) args_.complain("[exchange] opened while another is open");
  current_ = standby_;
  standby_ = args_.wires.NewEndpoint(args_.number, args_.process);
  open_ = true;
  exchange_ = 0;
  args_.wires.Open(current_, effect.view, [this, epoch = effect.view.epoch](absl::Status status) {
    Later(0, [this, epoch, status = std::move(status)] {
      Post(WorkerEvent(ExchangeOpened{epoch, status, args_.wires.AddressOf(standby_)}));
    });
  });
}

// What the loader does on its own threads, whatever the strand waits for.
void Node::Preload(conclave::Preload preload) {
  if (preload.epoch != core_->epoch() || must_load_ || aside_share_.has_value()) return;
  ++preloads_;
  const Shard::Share share{preload.placement, preload.slot};
  if (preload.drop) {
    shard_->Trim({&share, 1});
    return;
  }
  const auto missing = shard_->Missing(share);
  if (!missing.ok() || !shard_->Room(missing->size()).ok()) return;
  PackSilently(preloads_, {missing->begin(), missing->end()});
}

void Node::PackSilently(std::uint64_t number, std::deque<std::size_t> left) {
  if (left.empty()) return;
  Later(args_.dice.Between(1, std::max<Micros>(1, args_.shape.load_max / 8)),
        [this, number, left = std::move(left)]() mutable {
          if (number != preloads_) return;
          if (auto packed = shard_->Pack(left.front()); packed.ok()) {
            shard_->Put(*std::move(packed));
          }
          left.pop_front();
          PackSilently(number, std::move(left));
        });
}

// One expert after another, so that everything can happen between two of them.
void Node::Carry(const LoadAside& effect) {
  args_.at(Moment::kLoadAside);
  if (!alive_) return;
  ++asides_;
  ++preloads_;
  aside_share_ = {effect.placement, effect.slot};
  const auto missing = shard_->Missing({aside_share_->first, effect.slot});
  absl::Status status = missing.status();
  if (status.ok()) status = shard_->Room(missing->size());
  if (std::exchange(fail_next_load_, false) || args_.shape.flaw == Flaw::kNoMemory) {
    status = absl::ResourceExhaustedError("no memory for experts");
  }
  std::deque<std::size_t> left;
  if (status.ok()) left.assign(missing->begin(), missing->end());
  PackAside(effect.epoch, std::move(left), std::move(status));
}

void Node::PackAside(Epoch epoch, std::deque<std::size_t> left, absl::Status status) {
  Later(args_.dice.Between(1, std::max<Micros>(1, args_.shape.load_max / 8)),
        [this, epoch, number = asides_, left = std::move(left),
         status = std::move(status)]() mutable {
          if (args_.shape.flaw == Flaw::kDiesLoading) {
            return args_.exited(true, "died while loading");
          }
          if (number != asides_) return;  // it was stopped
          if (status.ok() && !left.empty()) {
            auto packed = shard_->Pack(left.front());
            left.pop_front();
            status = packed.status();
            if (status.ok()) shard_->Put(*std::move(packed));
            say_(LoadProgress{epoch, shard_->expert_bytes()});
            return PackAside(epoch, std::move(left), std::move(status));
          }
          std::string address;
          if (status.ok()) {
            aside_ = args_.wires.NewEndpoint(args_.number, args_.process);
            address = args_.wires.AddressOf(*aside_);
          }
          Post(WorkerEvent(LoadedAside{epoch, std::move(status), std::move(address)}));
        });
}

void Node::Carry(const ConnectAside& effect) {
  args_.at(Moment::kConnectAside);
  if (!alive_) return;
  const Epoch epoch = effect.view.epoch;
  if (!aside_.has_value()) return args_.complain("[exchange] nothing to connect aside");
  args_.wires.Probe(*aside_, effect.view, args_.options.connect_timeout,
                    [this, epoch, number = asides_](absl::Status status, SlotSet unreachable) {
                      Later(0, [this, epoch, number, unreachable, status = std::move(status)] {
                        if (number != asides_) return;
                        Post(WorkerEvent(ConnectedAside{epoch, status, unreachable}));
                      });
                    });
}

void Node::Carry(const SwitchToStagedExchange& effect) {
  if (open_) args_.wires.Close(current_);  // the edge does it when there is time
  if (!aside_.has_value()) return args_.complain("[exchange] nothing to change over to");
  current_ = *std::exchange(aside_, std::nullopt);
  ++asides_;
  aside_share_.reset();
  args_.wires.Close(standby_);
  standby_ = args_.wires.NewEndpoint(args_.number, args_.process);
  open_ = true;
  exchange_ = 0;
  Post(
      WorkerEvent(ExchangeOpened{effect.epoch, absl::OkStatus(), args_.wires.AddressOf(standby_)}));
}

void Node::Carry(const DropAside&) {
  ++asides_;
  aside_share_.reset();
  if (aside_.has_value()) args_.wires.Close(*std::exchange(aside_, std::nullopt));
}

void Node::Carry(const TrimExperts& effect) {
  ++preloads_;
  std::vector<Shard::Share> keep = {{effect.placement, effect.slot}};
  if (aside_share_.has_value()) keep.push_back({aside_share_->first, aside_share_->second});
  shard_->Trim(keep);
}

void Node::Carry(const StartExchange& effect) {
  args_.at(Moment::kBeforeExchange);
  if (!alive_) return;
  ++exchange_;
  args_.wires.Start(current_, effect.sends, effect.sink, args_.options.exchange_timeout,
                    [this, epoch = effect.epoch](absl::Status status) {
                      Later(0, [this, epoch, status = std::move(status)] {
                        Post(WorkerEvent(ExchangeDone{epoch, status}));
                      });
                    });
  args_.at(Moment::kInExchange);
}

void Node::Carry(const CloseExchange&) {
  if (open_) args_.wires.Close(current_);
  open_ = false;
}

void Node::Carry(const Exit& effect) {
  const auto exited = args_.exited;
  exited(effect.failed, effect.reason);
}

}  // namespace conclave::sim
