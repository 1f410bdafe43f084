// What takes long beside the strand: experts in the background, the next epoch's links, and who
// overtakes whom.
#include "worker/edge/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <latch>
#include <mutex>
#include <thread>

#include "exchange/backends.h"
#include "kernels/kernel_set.h"
#include "model/memory_tensors.h"
#include "model/shapes.h"
#include "worker/edge/thread_pool.h"
#include "worker/edge/trial.h"

namespace conclave {
namespace {

constexpr Micros kForEver = 600'000'000;
constexpr Epoch kNext{1, 5};

// Lets the first look at one expert wait until it is opened.
class Gate final : public TensorSource {
 public:
  Gate(const TensorSource& all, std::string name) : all_(all), name_(std::move(name)) {}
  absl::StatusOr<TensorView> Find(const std::string& name) const override {
    if (name == name_ && !passed_.exchange(true)) {
      arrived.count_down();
      opened.wait();
    }
    return all_.Find(name);
  }
  mutable std::latch arrived{1}, opened{1};

 private:
  const TensorSource& all_;
  const std::string name_;
  mutable std::atomic<bool> passed_{false};
};

// A shard and its loader, and what the loader said.
class Desk {
 public:
  Desk(const ModelConfig& model, const TensorSource& tensors, LocalHub& hub, Micros trial_limit,
       std::uint64_t expert_memory = 0, Memory& memory = SharedHeap(),
       Micros stock_after = kForEver)
      : shard_(*Shard::Load({.model = model,
                             .tensors = tensors,
                             .kernels = kRefKernels,
                             .role = Role::kExpert,
                             .lanes = pool_,
                             .memory = memory,
                             .progress = {},
                             .expert_memory_bytes = expert_memory})),
        loader_({.shard = *shard_,
                 .new_backend =
                     [this, &hub] {
                       auto made = hub.NewBackend();
                       newest_ = made.get();
                       return made;
                     },
                 .tell = [this](WorkerEvent event) { Hear(std::move(event)); },
                 .trial_limit = trial_limit,
                 .stock_after = stock_after}) {}

  Loader& loader() { return loader_; }
  // Until the loader is inside the trial of the newest backend.
  void AwaitTrial() const {
    while (newest_.load()->Waiting().exchange == 0) std::this_thread::yield();
  }
  Shard& shard() { return *shard_; }
  template <class Event>
  Event Next() {
    std::unique_lock lock(mutex_);
    const bool came =
        wake_.wait_for(lock, std::chrono::seconds(60), [&] { return !said_.empty(); });
    if (!came || !std::holds_alternative<Event>(said_.front())) {
      ADD_FAILURE() << (came ? "another event" : "silence");
      return {};
    }
    Event event = std::get<Event>(said_.front());
    said_.pop_front();
    return event;
  }
  void Clear() {
    const std::lock_guard lock(mutex_);
    said_.clear();
  }
  bool silent() const {
    const std::lock_guard lock(mutex_);
    return said_.empty();
  }

 private:
  void Hear(WorkerEvent event) {
    const std::lock_guard lock(mutex_);
    said_.push_back(std::move(event));
    wake_.notify_all();
  }
  ThreadPool pool_{{.threads = 2, .first_cpu_pinned = {}}};
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<WorkerEvent> said_;
  std::unique_ptr<Shard> shard_;
  std::atomic<ExchangeBackend*> newest_{nullptr};
  Loader loader_;
};

class LoaderTest : public testing::Test {
 protected:
  LoaderTest() : model_(*NamedShape("tiny", 2)), tensors_(RandomTensors(model_, 3, DType::kBf16)) {
    SetComputeThreadFloatMode();
  }
  Placement EvenAmong(int slots) const {
    PlacementBuilder placement(model_.moe_layers, model_.experts);
    for (int l = 0; l < model_.moe_layers; ++l) {
      for (int e = 0; e < model_.experts; ++e) placement.AddOwner(l, e, Slot{e % slots});
    }
    return placement.Build();
  }
  std::uint64_t ShareBytes(const Shard& shard, int slots) const {
    return shard.one_expert_bytes() *
           static_cast<std::uint64_t>(model_.experts / slots * model_.moe_layers);
  }
  EpochView View(int self, const std::vector<std::string>& addresses, Epoch epoch = kNext) const {
    EpochView view{.epoch = epoch, .self = Slot{self}, .peers = {}};
    for (std::size_t i = 0; i < addresses.size(); ++i) {
      view.peers.push_back({Slot{static_cast<int>(i)}, addresses[i]});
    }
    return view;
  }

  ModelConfig model_;
  std::unique_ptr<MemoryTensors> tensors_;
  LocalHub hub_;
};

TEST_F(LoaderTest, AnEpochIsLoadedTriedAndTakenOver) {
  Desk a(model_, *tensors_, hub_, kForEver);
  Desk b(model_, *tensors_, hub_, kForEver);
  a.loader().Do(LoadAside{kNext, EvenAmong(2), Slot{0}});
  b.loader().Do(LoadAside{kNext, EvenAmong(2), Slot{1}});
  const auto loaded_a = a.Next<LoadedAside>();
  const auto loaded_b = b.Next<LoadedAside>();
  ASSERT_TRUE(loaded_a.status.ok() && loaded_b.status.ok());
  EXPECT_EQ(a.shard().expert_bytes(), ShareBytes(a.shard(), 2));
  EXPECT_FALSE(a.loader().Progress().has_value());
  EXPECT_EQ(a.loader().TakeAside(Epoch(1, 4)), nullptr);
  const std::vector<std::string> addresses = {loaded_a.address, loaded_b.address};
  a.loader().Do(ConnectAside{View(0, addresses)});
  b.loader().Do(ConnectAside{View(1, addresses)});
  EXPECT_TRUE(a.Next<ConnectedAside>().status.ok());
  EXPECT_TRUE(b.Next<ConnectedAside>().status.ok());
  auto taken = a.loader().TakeAside(kNext);
  ASSERT_NE(taken, nullptr);
  EXPECT_EQ(taken->stats().exchanges, 1u);
  EXPECT_EQ(a.loader().TakeAside(kNext), nullptr) << "only once";
  a.loader().Discard(std::move(taken));
}

TEST_F(LoaderTest, WhoIsNotHeardIsNamed) {
  Desk a(model_, *tensors_, hub_, 20'000);
  Desk silent(model_, *tensors_, hub_, kForEver);
  a.loader().Do(LoadAside{kNext, EvenAmong(2), Slot{0}});
  silent.loader().Do(LoadAside{kNext, EvenAmong(2), Slot{1}});
  const std::vector<std::string> addresses = {a.Next<LoadedAside>().address,
                                              silent.Next<LoadedAside>().address};
  a.loader().Do(ConnectAside{View(0, addresses)});
  const auto tried = a.Next<ConnectedAside>();
  EXPECT_EQ(tried.status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(tried.unreachable.size(), 1);
  EXPECT_TRUE(tried.unreachable.Has(Slot{1}));
}

TEST_F(LoaderTest, WhoCannotBeOpenedIsNamed) {
  const auto backend = hub_.NewBackend();
  const std::string gone = hub_.NewBackend()->StandbyAddress().value();
  const auto tried = TryEpoch(*backend, View(0, {backend->StandbyAddress().value(), gone}), 1000);
  EXPECT_EQ(tried.status.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(tried.unreachable.Has(Slot{1}));
}

TEST_F(LoaderTest, ATrialEndsAtOnceWhenItIsDroppedOrAborted) {
  Desk a(model_, *tensors_, hub_, kForEver);
  const auto peer = hub_.NewBackend();  // there, but silent
  const auto begin = [&](Epoch epoch) {
    a.loader().Do(LoadAside{epoch, EvenAmong(2), Slot{0}});
    const auto loaded = a.Next<LoadedAside>();
    EXPECT_EQ(loaded.epoch, epoch);
    a.loader().Do(ConnectAside{View(0, {loaded.address, peer->StandbyAddress().value()}, epoch)});
    a.AwaitTrial();
  };
  begin(kNext);
  a.loader().Do(DropAside{});
  begin(Epoch(1, 6));
  a.loader().AbortAside(Epoch(1, 6));  // it is of that epoch: goes on
  a.loader().AbortAside(Epoch(1, 7));
  const auto tried = a.Next<ConnectedAside>();
  EXPECT_EQ(tried.epoch, Epoch(1, 6));
  EXPECT_EQ(tried.status.code(), absl::StatusCode::kAborted);
  EXPECT_TRUE(tried.unreachable.empty()) << "nobody's fault";
  EXPECT_TRUE(a.silent());
}

// The urgent load does not wait for the expert that is being packed in the background, and what
// had been packed is not packed again.
TEST_F(LoaderTest, AnUrgentLoadOvertakesTheOneInTheBackground) {
  const Gate gate(*tensors_, "model.layers.1.mlp.experts.0.gate_proj.weight");
  Desk a(model_, gate, hub_, kForEver);
  a.loader().Do(LoadAside{kNext, EvenAmong(2), Slot{0}});
  gate.arrived.wait();
  ASSERT_TRUE(a.loader().Progress().has_value());
  EXPECT_GT(a.loader().Progress()->expert_bytes, 0u);
  const PackedFfn early = a.shard().Expert(0, 0);
  a.loader().Do(LoadExperts{Epoch(1, 6), EvenAmong(1), Slot{0}});
  const auto urgent = a.Next<ExpertsLoaded>();
  EXPECT_EQ(urgent.epoch, Epoch(1, 6));
  EXPECT_TRUE(urgent.status.ok()) << urgent.status;
  EXPECT_EQ(a.shard().expert_bytes(), ShareBytes(a.shard(), 1));
  EXPECT_EQ(a.shard().Expert(0, 0).data, early.data);
  EXPECT_FALSE(a.loader().Progress().has_value());
  gate.opened.count_down();
  a.loader().Do(LoadAside{Epoch(1, 7), EvenAmong(1), Slot{0}});
  EXPECT_EQ(a.Next<LoadedAside>().epoch, Epoch(1, 7)) << "nothing is heard of the first";
  EXPECT_EQ(a.shard().expert_bytes(), ShareBytes(a.shard(), 1));
}

// A member is silent: what would be needed without it is packed, and nobody is told. If it is lost,
// the epoch's load finds that; if it speaks again, it is dropped.
TEST_F(LoaderTest, ExpertsThatALossWouldNeedArePackedBeforeIt) {
  const Gate gate(*tensors_, "model.layers.1.mlp.experts.3.gate_proj.weight");
  Desk a(model_, gate, hub_, kForEver);
  a.loader().Do(LoadExperts{Epoch(1, 1), EvenAmong(2), Slot{0}});
  ASSERT_TRUE(a.Next<ExpertsLoaded>().status.ok());
  a.loader().Do(TrimExperts{EvenAmong(2), Slot{0}});
  a.loader().Do(Preload{Epoch(1, 1), Slot{0}, EvenAmong(1)});
  gate.arrived.wait();  // experts of layer 0 come first
  EXPECT_TRUE(a.shard().Holds(0, 1));
  EXPECT_FALSE(a.loader().Progress().has_value()) << "no epoch waits for it";
  const PackedFfn early = a.shard().Expert(0, 1);
  a.loader().Do(LoadExperts{Epoch(1, 2), EvenAmong(1), Slot{0}});
  EXPECT_TRUE(a.Next<ExpertsLoaded>().status.ok());
  EXPECT_EQ(a.shard().Expert(0, 1).data, early.data);
  gate.opened.count_down();
  // The lost one comes back; then it is silent again, for a moment.
  a.loader().Do(Preload{Epoch(1, 2), Slot{0}, EvenAmong(2), /*drop=*/true});
  a.loader().Do(LoadAside{kNext, EvenAmong(2), Slot{0}});
  EXPECT_TRUE(a.Next<LoadedAside>().status.ok());
  EXPECT_EQ(a.shard().expert_bytes(), ShareBytes(a.shard(), 2));
  EXPECT_TRUE(a.silent());
}

// What an epoch that is being made needs comes first, and none of it may be dropped.
TEST_F(LoaderTest, NothingIsPreloadedOrDroppedWhileAnEpochIsMade) {
  const Gate gate(*tensors_, "model.layers.0.mlp.experts.0.gate_proj.weight");
  Desk a(model_, gate, hub_, kForEver);
  a.loader().Do(LoadAside{kNext, EvenAmong(1), Slot{0}});
  gate.arrived.wait();
  a.loader().Do(Preload{Epoch(1, 1), Slot{0}, EvenAmong(2), /*drop=*/true});
  gate.opened.count_down();
  EXPECT_TRUE(a.Next<LoadedAside>().status.ok());
  a.loader().Do(Preload{Epoch(1, 1), Slot{0}, EvenAmong(2), /*drop=*/true});
  a.loader().Do(LoadExperts{Epoch(1, 6), EvenAmong(1), Slot{0}});
  EXPECT_TRUE(a.Next<ExpertsLoaded>().status.ok());
  EXPECT_EQ(a.shard().expert_bytes(), ShareBytes(a.shard(), 1));
}

TEST_F(LoaderTest, AnUrgentLoadShowsThatItGoesOn) {
  const Gate gate(*tensors_, "model.layers.1.mlp.experts.0.gate_proj.weight");
  Desk a(model_, gate, hub_, kForEver);
  a.loader().Do(LoadExperts{kNext, EvenAmong(1), Slot{0}});
  gate.arrived.wait();
  // The other lane packs all the others.
  const std::uint64_t all = ShareBytes(a.shard(), 1);
  std::optional<LoadProgress> progress;
  do {
    progress = a.loader().Progress();
    ASSERT_TRUE(progress.has_value());
  } while (progress->expert_bytes < all - a.shard().one_expert_bytes());
  gate.opened.count_down();
  EXPECT_TRUE(a.Next<ExpertsLoaded>().status.ok());
  EXPECT_EQ(a.shard().expert_bytes(), all);
  EXPECT_FALSE(a.loader().Progress().has_value());
}

TEST_F(LoaderTest, TrimsInTurnAndMakesRoomOnlyOfWhatNobodyNeeds) {
  Desk probe(model_, *tensors_, hub_, kForEver);
  const std::uint64_t each = probe.shard().one_expert_bytes();
  const auto half = static_cast<std::uint64_t>(model_.experts / 2 * model_.moe_layers);
  Desk a(model_, *tensors_, hub_, kForEver, each * (half + half / 2));
  a.loader().Do(LoadExperts{Epoch(1, 1), EvenAmong(2), Slot{0}});
  ASSERT_TRUE(a.Next<ExpertsLoaded>().status.ok());
  a.loader().Do(LoadAside{kNext, EvenAmong(2), Slot{1}});
  const auto full = a.Next<LoadedAside>();
  EXPECT_EQ(full.status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(full.status.message()), testing::HasSubstr(std::to_string(each * half)));
  EXPECT_EQ(a.shard().expert_bytes(), each * half) << "the running epoch's are all there";
  a.loader().Do(LoadAside{Epoch(1, 6), EvenAmong(4), Slot{1}});  // a quarter: fits beside
  EXPECT_TRUE(a.Next<LoadedAside>().status.ok());
  a.loader().Do(LoadAside{Epoch(1, 7), EvenAmong(4), Slot{3}});  // only without that quarter
  EXPECT_TRUE(a.Next<LoadedAside>().status.ok());
  EXPECT_TRUE(a.shard().Holds(0, 0));
  EXPECT_FALSE(a.shard().Holds(0, 1));
  EXPECT_TRUE(a.shard().Holds(0, 3));
  a.loader().Do(TrimExperts{EvenAmong(4), Slot{3}});
  a.loader().Do(LoadAside{Epoch(1, 8), EvenAmong(4), Slot{3}});
  EXPECT_TRUE(a.Next<LoadedAside>().status.ok());
  EXPECT_EQ(a.shard().expert_bytes(), each * half / 2);
}

// Counts what is wanted in stock.
class Storehouse final : public Memory {
 public:
  absl::StatusOr<std::span<std::byte>> Take(std::size_t bytes) override {
    return SharedHeap().Take(bytes);
  }
  void Give(std::span<std::byte> bytes) override { SharedHeap().Give(bytes); }
  bool Stock(std::size_t bytes, std::size_t spans) override {
    bytes_ = bytes;
    const std::size_t have = have_.load();
    if (have == spans) return false;
    have_ = have < spans ? have + 1 : have - 1;
    return true;
  }
  bool Await(std::size_t spans) const {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (have_ != spans && std::chrono::steady_clock::now() < until) std::this_thread::yield();
    return have_ == spans;
  }
  std::size_t bytes() const { return bytes_; }

 private:
  std::atomic<std::size_t> have_{0}, bytes_{0};
};

TEST_F(LoaderTest, MemoryForALostOnesExpertsIsMadeReadyWhenNothingElseIsToBeDone) {
  Storehouse memory;
  Desk a(model_, *tensors_, hub_, kForEver, 0, memory, 0);
  const auto share = [&](int slots) {
    return static_cast<std::size_t>(model_.experts / slots * model_.moe_layers);
  };
  a.loader().Do(LoadExperts{Epoch(1, 1), EvenAmong(4), Slot{0}});
  ASSERT_TRUE(a.Next<ExpertsLoaded>().status.ok());
  a.loader().Do(TrimExperts{EvenAmong(4), Slot{0}});
  EXPECT_TRUE(memory.Await((share(4) + 2) / 3));
  EXPECT_EQ(memory.bytes(), a.shard().one_expert_bytes());
  a.loader().Do(TrimExperts{EvenAmong(2), Slot{0}});
  EXPECT_TRUE(memory.Await(share(2)));
  a.loader().Do(TrimExperts{EvenAmong(1), Slot{0}});
  EXPECT_TRUE(memory.Await(0));
}

TEST_F(LoaderTest, MemoryIsMadeReadyOnlyWithinTheLimit) {
  Storehouse memory;
  const std::uint64_t each = Desk(model_, *tensors_, hub_, 0).shard().one_expert_bytes();
  const auto quarter = static_cast<std::uint64_t>(model_.experts / 4 * model_.moe_layers);
  Desk a(model_, *tensors_, hub_, kForEver, each * (quarter + 1), memory, 0);
  a.loader().Do(LoadExperts{Epoch(1, 1), EvenAmong(4), Slot{0}});
  ASSERT_TRUE(a.Next<ExpertsLoaded>().status.ok());
  a.loader().Do(TrimExperts{EvenAmong(4), Slot{0}});
  EXPECT_TRUE(memory.Await(1));
}

TEST_F(LoaderTest, WhatIsForgottenIsNeverHeardOf) {
  Desk a(model_, *tensors_, hub_, kForEver);
  for (std::uint32_t epoch = 1; epoch < 20; ++epoch) {
    // Never both at once: the shard is whose the last word made it (see Packer::Yield).
    if (epoch % 2 == 0) {
      a.loader().Do(LoadExperts{Epoch(1, epoch), EvenAmong(1), Slot{0}});
    } else {
      a.loader().Do(LoadAside{Epoch(1, epoch), EvenAmong(1), Slot{0}});
      a.loader().Do(TrimExperts{EvenAmong(9), Slot{0}});
    }
    a.loader().Forget();
  }
  a.Clear();  // those that were done in time
  a.loader().Do(LoadExperts{Epoch(1, 99), EvenAmong(2), Slot{0}});
  EXPECT_EQ(a.Next<ExpertsLoaded>().epoch, Epoch(1, 99));
}

}  // namespace
}  // namespace conclave
