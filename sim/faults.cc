#include "sim/faults.h"

#include <algorithm>

namespace conclave::sim {
namespace {

class Planner {
 public:
  Planner(const SimOptions& options, Dice& dice) : options_(options), dice_(dice) {
    for (int node = 0; node < static_cast<int>(options.nodes.size()); ++node) {
      alive_.push_back(node);
    }
  }

  std::vector<Fault> Plan() {
    const FaultOptions& faults = options_.faults;
    Crashes(faults.crashes);
    Some(FaultKind::kHang, faults.hangs);
    Some(FaultKind::kWedge, faults.wedges);
    Some(FaultKind::kControlBreaks, faults.control_breaks);
    Some(FaultKind::kControlStalls, faults.control_stalls);
    Some(FaultKind::kControlIsSlow, faults.control_delays);
    Some(FaultKind::kFramesStop, faults.data_partitions);
    Some(FaultKind::kFramesAreSlow, faults.data_delays);
    Some(FaultKind::kLoadFails, faults.failed_loads);
    Some(FaultKind::kCoordinatorRestarts, faults.coordinator_restarts);
    std::ranges::stable_sort(faults_, {}, &Fault::at);
    return std::move(faults_);
  }

 private:
  bool TakesSequences(int node) const {
    return options_.nodes[static_cast<std::size_t>(node)].role == Role::kWorker;
  }

  Fault One(FaultKind kind, int node) {
    const int nodes = static_cast<int>(options_.nodes.size());
    Fault fault{.kind = kind, .at = dice_.Between(0, options_.faults.within), .node = node};
    fault.peer = (node + dice_.Int(1, std::max(1, nodes - 1))) % nodes;
    // Short ones are survived, long ones make zombies.
    fault.lasts = dice_.Percent(50) ? dice_.Between(1'000, 600'000) : dice_.Between(0, 3'000'000);
    fault.extra = dice_.Between(10'000, 400'000);
    const int ways = dice_.Int(0, 2);
    fault.outwards = ways != 0;
    fault.inwards = ways != 1;
    fault.loses = dice_.Percent(70);
    return fault;
  }

  void Some(FaultKind kind, int count) {
    for (int i = 0; i < count; ++i) {
      faults_.push_back(One(kind, dice_.Int(0, static_cast<int>(options_.nodes.size()) - 1)));
    }
  }

  void Crashes(int count) {
    for (int i = 0; i < count; ++i) {
      const int node = dice_.Pick(alive_);
      const auto takes = [this](int each) { return TakesSequences(each); };
      const bool last = takes(node) && std::ranges::count_if(alive_, takes) == 1;
      if (last && !options_.faults.restart) continue;
      if (!options_.faults.restart) std::erase(alive_, node);
      Fault fault = One(dice_.Percent(40) ? FaultKind::kCrash : FaultKind::kCrashAt, node);
      constexpr Moment kMoments[] = {
          Moment::kInExchange, Moment::kInExchange, Moment::kBeforeExchange, Moment::kAfterExchange,
          Moment::kPrepare,    Moment::kLoading,    Moment::kLoadAside,      Moment::kConnectAside};
      fault.moment = kMoments[dice_.Int(0, static_cast<int>(std::size(kMoments)) - 1)];
      faults_.push_back(fault);
    }
  }

  const SimOptions& options_;
  Dice& dice_;
  std::vector<int> alive_;
  std::vector<Fault> faults_;
};

}  // namespace

const char* NameOf(FaultKind kind) {
  switch (kind) {
    case FaultKind::kCrash:
      return "crash";
    case FaultKind::kCrashAt:
      return "crash at a certain moment";
    case FaultKind::kHang:
      return "hang";
    case FaultKind::kWedge:
      return "wedge";
    case FaultKind::kControlBreaks:
      return "control stream breaks";
    case FaultKind::kControlStalls:
      return "control stream stalls";
    case FaultKind::kControlIsSlow:
      return "control stream is slow";
    case FaultKind::kFramesStop:
      return "frames stop";
    case FaultKind::kFramesAreSlow:
      return "frames are slow";
    case FaultKind::kLoadFails:
      return "a load fails";
    case FaultKind::kCoordinatorRestarts:
      return "coordinator restarts";
  }
  return "?";
}

std::vector<Fault> PlanFaults(const SimOptions& options, Dice& dice) {
  return Planner(options, dice).Plan();
}

}  // namespace conclave::sim
