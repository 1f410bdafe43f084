// The faults of a run: which, when and at which worker. A pure function of the seed.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ids.h"

namespace conclave::torture {

// In the order in which a stall is charged: what is further up explains a longer one.
enum class DeedKind : std::uint8_t {
  kCoordinator,  // SIGKILL to the coordinator, which is started again
  kPartition,    // a worker's packets go nowhere: all of them, or one way
  kWedge,        // a worker's computing threads are stopped, its heartbeats go on
  kHang,         // SIGSTOP, later SIGCONT
  kKill,         // SIGKILL to a worker; a new one is started
  kDrain,        // SIGTERM to a worker, whose exit code must be 0
  kJoin,         // one more worker
  kBadJoin,      // one that must be refused, or dies while it joins
};
inline constexpr std::array kDeedKinds = {
    DeedKind::kCoordinator, DeedKind::kPartition, DeedKind::kWedge, DeedKind::kHang,
    DeedKind::kKill,        DeedKind::kDrain,     DeedKind::kJoin,  DeedKind::kBadJoin,
};

const char* NameOf(DeedKind kind);
// "kill,hang"; InvalidArgument names what is none. In the order given, once each.
absl::StatusOr<std::vector<DeedKind>> ParseDeeds(std::string_view text);

// How a partition cuts, how a bad joiner is bad.
inline constexpr int kPartitionVariants = 3;
enum Cut : int { kCutAll, kCutToCoordinator, kCutToPeer };
inline constexpr int kBadVariants = 4;
enum Bad : int { kBadModel, kBadKernels, kBadKvDtype, kDiesJoining };

struct Deed {
  DeedKind kind = DeedKind::kKill;
  Micros at = 0;   // after the start of the load
  int place = -1;  // a worker's; -1: none
  // Hang, wedge, partition: how long it lasts. Kill, coordinator, drain: until the new process
  // starts; after a drain, 0 leaves the place empty. A joiner that dies: how long it lives.
  Micros length = 0;
  int variant = 0;  // Cut or Bad
};

struct PlanArgs {
  std::uint64_t seed = 1;
  int workers = 4;      // at places 0..workers-1 when it begins
  int workers_max = 8;  // places
  Micros first = 0;     // no deed before
  Micros last = 0;      // none after
  Micros pause = 0;     // mean time between two
  std::vector<DeedKind> kinds;
};

// Times rise. At any time at least one worker is healthy, provided that a started worker is healthy
// within kSettle; the fault injector checks that, too.
inline constexpr Micros kSettle = 2'000'000;
std::vector<Deed> PlanDeeds(const PlanArgs& args);

}  // namespace conclave::torture
