// The worker: executes plans, decides nothing. Handle(event, outbox) has no I/O, no clock, no
// thread; the edge (worker/edge) turns the control stream, the loader and the exchange backend into
// events, and effects into calls. The simulator drives the same class.
//
//   TOLD Prepare     CloseExchange (old epoch), LoadExperts     answered by ExpertsLoaded
//   ExpertsLoaded    OpenExchange{view}                         answered by ExchangeOpened
//   ExchangeOpened   Tell{Ready}
//   TOLD Commit      steps of that epoch are accepted; TrimExperts
//   TOLD StepAsk     phases run until one needs the wire: StartExchange, answered by ExchangeDone
//                    ... until the step is done: Tell{StepResult}. A StepAsk that arrives meanwhile
//                    waits (at most kPlansAheadMax).
//
// Beside the running epoch (see protocol/control.h, Load and Connect; worker/aside.h):
//   TOLD Load        LoadAside{epoch}                           answered by LoadedAside
//   LoadedAside      Tell{Loaded}
//   TOLD Connect     ConnectAside{view}                         answered by ConnectedAside
//   ConnectedAside   Tell{Connected}; DropAside if not all were heard
//   TOLD Prepare of that epoch      SwitchToStagedExchange      answered by ExchangeOpened, at once
//   TOLD Prepare of another         DropAside, CloseExchange, LoadExperts ...
//   TOLD a newer Load               DropAside, LoadAside
// A Load while experts of a Prepare are being loaded is answered with Loaded{ok = false}.
//
// Ownership: the core owns sequences, KV cache and workspace, all reserved in the constructor from
// WorkerConfig. Running a step allocates nothing once warm, except what the result itself carries.
// Threading: one thread at a time. Kernels run on the Lanes given.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "exchange/exchange.h"
#include "exchange/frame.h"
#include "kernels/kernel_set.h"
#include "kernels/lane.h"
#include "model/config.h"
#include "model/tensors.h"
#include "protocol/control.h"
#include "worker/memory.h"

namespace conclave {

struct WorkerConfig {
  Role role = Role::kWorker;
  std::string uuid;
  std::string address;  // for people
  std::string exchange_name;
  DType kv_dtype = DType::kBf16;
  std::int32_t kv_blocks = 0;
  std::int32_t rows_max = 512;       // rows of its own per step; 0 for role expert
  std::int32_t arrivals_max = 0;     // rows of others in one round; 0: what kRoundBytes hold
  std::int32_t sequences_max = 1024;
  std::uint64_t model_identity = 0;       // Checkpoint::identity
  std::uint64_t expert_memory_bytes = 0;  // room for experts; 0: no limit known
  Memory* memory = nullptr;               // where KV cache and workspace lie; null: the heap
};

// Packed weights (worker/shard.h). Everything but experts is loaded once (role kWorker); experts
// come and go with placements.
class Shard;

// Where phases report time: the edge reads a clock, the simulator a counter.
class Trace {
 public:
  virtual ~Trace() = default;
  virtual std::uint64_t NowMicros() = 0;
};

// ---- events
struct Told {
  ToWorker message;
};
struct ExpertsLoaded {
  Epoch epoch;
  absl::Status status;
};
struct ExchangeOpened {
  Epoch epoch;
  absl::Status status;
  std::string standby_address;  // the next one; also when this one did not open
};
struct ExchangeDone {
  Epoch epoch;
  absl::Status status;  // frames are in the sink the effect named
};
struct LoadedAside {
  Epoch epoch;
  absl::Status status;
  std::string address;  // of a fresh endpoint
};
struct ConnectedAside {
  Epoch epoch;
  absl::Status status;
  SlotSet unreachable;
};
struct LeaveWanted {};  // SIGTERM
using WorkerEvent = std::variant<Told, ExpertsLoaded, ExchangeOpened, ExchangeDone, LoadedAside,
                                 ConnectedAside, LeaveWanted>;

// ---- effects, in the order they must be carried out
struct Tell {
  FromWorker message;
};
struct LoadExperts {  // what is missing, as fast as all cores can: no step runs. Drops nothing
                      // that fits beside it. Stops a load aside, keeping what it has packed.
  Epoch epoch;
  Placement placement;
  Slot slot;
};
struct LoadAside {  // likewise, but steps run: in the background, at a low priority. Then a
                    // fresh exchange backend is made, which is not the running one.
  Epoch epoch;
  Placement placement;
  Slot slot;
};
struct ConnectAside {  // opens that backend and swaps one empty frame with every peer, off the
                       // strand
  EpochView view;
};
// The backend that ConnectAside opened is the running one from now on. The edge closes the other one
// off the strand, when there is time.
struct SwitchToStagedExchange {
  Epoch epoch;
};
struct DropAside {};  // that backend is closed, the load in the background ends
struct TrimExperts {  // drops what the placement does not give this slot, in the background
  Placement placement;
  Slot slot;
};
struct OpenExchange {
  EpochView view;
};
struct StartExchange {
  Epoch epoch;
  std::span<const OutFrame> sends;  // valid until ExchangeDone
  FrameSink* sink;
};
struct CloseExchange {};
struct Exit {  // Goodbye: the process ends; code 0 when drained
  bool failed = false;
  std::string reason;
};
using WorkerEffect =
    std::variant<Tell, LoadExperts, LoadAside, ConnectAside, SwitchToStagedExchange, DropAside,
                 TrimExperts, OpenExchange, StartExchange, CloseExchange, Exit>;
using WorkerOutbox = std::vector<WorkerEffect>;

class WorkerCore {
 public:
  // `shard` holds the weights that every placement needs; it, kernels, lanes and trace outlive the
  // core.
  WorkerCore(const WorkerConfig& config, const ModelConfig& model, const KernelSet& kernels,
             Shard& shard, Lanes& lanes, Trace& trace);
  ~WorkerCore();

  Hello SayHello(std::string standby_address) const;
  void Handle(const WorkerEvent& event, WorkerOutbox& outbox);

  std::uint64_t progress() const;  // phases run since start; any thread may read it
  bool busy() const;               // has a step to run; any thread may read it
  Epoch epoch() const;             // any thread may read it

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace conclave
