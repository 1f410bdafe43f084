// How long the coordinator takes to place experts, by size of the cluster: every kind of change at
// 94 layers of 128 experts (Qwen3-235B-A22B). Loads are drawn so that the hottest expert of a layer
// has about eight times the mean.
//
//   build/bin/placement_bench                 all; the time that counts is CPU
//   build/bin/placement_bench --benchmark_filter=/128/1
#include <benchmark/benchmark.h>

#include <cmath>
#include <vector>

#include "base/philox.h"
#include "coordinator/placement/assign.h"
#include "coordinator/placement/draft.h"
#include "coordinator/placement/rebalance.h"
#include "coordinator/placement/repair.h"

namespace conclave {
namespace {

constexpr int kLayers = 94, kExperts = 128;

std::vector<PlacementWorker> Workers(int count) {
  std::vector<PlacementWorker> workers;
  for (int slot = 0; slot < count; ++slot) workers.push_back({.slot = Slot{slot}});
  return workers;
}

struct Cluster {
  std::vector<PlacementWorker> workers;
  std::vector<float> loads;
  PlacementAsk ask;

  explicit Cluster(const benchmark::State& state)
      : workers(Workers(static_cast<int>(state.range(0)))) {
    Rng rng(1);
    for (int i = 0; i < kLayers * kExperts; ++i) {
      loads.push_back(static_cast<float>(std::exp(rng.Normal())));
    }
    ask = {.moe_layers = kLayers,
           .experts = kExperts,
           .expert_bytes = 1,
           .workers = workers,
           .before = nullptr,
           .loads = {},
           .replicas = static_cast<int>(state.range(1))};
  }
  Cluster(const Cluster&) = delete;
};

void Start(benchmark::State& state) {
  const Cluster cluster(state);
  for (auto _ : state) benchmark::DoNotOptimize(PlaceExperts(cluster.ask));
}

void StartByLoad(benchmark::State& state) {
  Cluster cluster(state);
  cluster.ask.loads = cluster.loads;
  for (auto _ : state) benchmark::DoNotOptimize(PlaceExperts(cluster.ask));
}

// Placed with `from` workers, then with `to`.
void Change(benchmark::State& state, bool joins) {
  Cluster cluster(state);
  const auto fewer = Workers(static_cast<int>(state.range(0)) - 1);
  PlacementAsk first = cluster.ask;
  if (joins) first.workers = fewer;
  const Placement before = *PlaceExperts(first);
  if (!joins) cluster.ask.workers = fewer;
  cluster.ask.before = &before;
  cluster.ask.loads = cluster.loads;
  for (auto _ : state) benchmark::DoNotOptimize(PlaceExperts(cluster.ask));
}
void Join(benchmark::State& state) { Change(state, true); }
void Leave(benchmark::State& state) { Change(state, false); }

void Repair(benchmark::State& state, int lost) {
  Cluster cluster(state);
  const Placement before = *PlaceExperts(cluster.ask);
  const auto left = Workers(static_cast<int>(state.range(0)) - lost);
  cluster.ask.workers = left;
  cluster.ask.before = &before;
  cluster.ask.loads = cluster.loads;
  for (auto _ : state) benchmark::DoNotOptimize(RepairPlacement(cluster.ask));
}
void RepairOne(benchmark::State& state) { Repair(state, 1); }
void RepairHalf(benchmark::State& state) { Repair(state, static_cast<int>(state.range(0)) / 2); }

void RebalanceOnce(benchmark::State& state) {
  Cluster cluster(state);
  const Placement before = *PlaceExperts(cluster.ask);
  cluster.ask.before = &before;
  cluster.ask.loads = cluster.loads;
  const int copies = kLayers * kExperts * cluster.ask.replicas;
  Rebalanced result;
  for (auto _ : state) {
    result = Rebalance(cluster.ask, {.loads_all = copies / 16, .loads_each = copies});
  }
  state.counters["imbalance_before"] = result.before.imbalance();
  state.counters["imbalance_after"] = result.after.imbalance();
  state.counters["loads"] = result.loads.all;
}

void CheckRoomOnly(benchmark::State& state) {
  const Cluster cluster(state);
  for (auto _ : state) benchmark::DoNotOptimize(CheckRoom(cluster.ask));
}

void Sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"workers", "replicas"})->Unit(benchmark::kMicrosecond);
  for (const int workers : {2, 8, 32, 128}) {
    for (const int replicas : {1, 2}) bench->Args({workers, replicas});
  }
}

BENCHMARK(Start)->Apply(Sizes);
BENCHMARK(StartByLoad)->Apply(Sizes);
BENCHMARK(Join)->Apply(Sizes);
BENCHMARK(Leave)->Apply(Sizes);
BENCHMARK(RepairOne)->Apply(Sizes);
BENCHMARK(RepairHalf)->Apply(Sizes);
BENCHMARK(RebalanceOnce)->Apply(Sizes);
BENCHMARK(CheckRoomOnly)->Apply(Sizes);

}  // namespace
}  // namespace conclave

BENCHMARK_MAIN();
