// The all-to-all between workers: per exchange one frame to every peer and one from every peer.
//
// Backends (exchange/backend/): `local` (threads in one process), `ucx` (between processes), later
// `mpi` and `nccl`. A backend moves bytes in order and knows nothing of experts. What is inside a
// frame, and whether it may be used, is decided in exchange/frame.h for all backends.
//
// Life: StandbyAddress() names a fresh endpoint, which the control plane tells the peers. Open(view)
// turns that endpoint into the epoch's and makes a new standby endpoint. Nothing that was sent to an
// older endpoint can arrive at a newer one: that is the fence between epochs.
//
// Threading: one thread at a time may call a backend, except for AbortBelow and Waiting, which any
// thread may call at any time. A backend may be opened on one thread and used on another. Backends
// of one process are independent: the next epoch is opened on a second one while the first exchanges.
//
// Errors:
//   Unavailable         a peer is gone
//   DeadlineExceeded    frames did not come in time
//   Aborted             AbortBelow was called
//   ResourceExhausted   a frame did not fit the sink
//   DataLoss            the transport delivered something else than was sent
//   InvalidArgument, FailedPrecondition   the caller's own mistakes
// The first two carry the peers that they are about, for programs to read (PeersOf), and name them
// in the message for people. After one of the first five the epoch is over for this backend: Close
// it, then Open a new epoch. The caller keeps the frames and the room that it gave to a failed
// Exchange allocated until Close, because a transfer under way may still write there.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/ids.h"
#include "base/slot_set.h"

namespace conclave {

struct Peer {
  Slot slot;
  std::string address;  // what its StandbyAddress() said
};

// The members of an epoch. `peers` has every live worker in rising order of worker ids, this one
// included.
struct EpochView {
  Epoch epoch;
  Slot self;
  std::vector<Peer> peers;
};

struct OutFrame {
  Slot to;
  // The whole frame. The caller keeps it unchanged until Exchange returns.
  std::span<const std::byte> bytes;
};

// Where arriving frames are put. Reserve returns 64-byte aligned room for one whole frame, once per
// source and exchange. An empty span means that the frame does not fit, and ends the exchange.
// Called on the thread that called Exchange.
class FrameSink {
 public:
  virtual ~FrameSink() = default;
  virtual std::span<std::byte> Reserve(Slot from, std::size_t bytes) = 0;
};

struct ExchangeStats {
  std::uint64_t exchanges = 0;
  std::uint64_t bytes_sent = 0;
  std::uint64_t bytes_received = 0;
};

// How far the running exchange is, for the heartbeat. The fields are read one by one while the
// exchange goes on, so together they are only a hint.
struct ExchangeWait {
  std::uint64_t exchange = 0;  // 1-based index of the current exchange in this epoch; 0 when idle
  SlotSet missing;             // the peers whose frames have not arrived
  std::uint64_t looks = 0;     // how often the exchanging thread has polled for frames
};

// The peers that an error of Open or Exchange is about; empty: it is about none in particular.
SlotSet PeersOf(const absl::Status& error);
// Unavailable, about one peer; `why` follows its name in the message.
absl::Status PeerError(Slot peer, absl::string_view why);
// DeadlineExceeded, about every slot waited for: those whose frame never came, or else those that
// never took ours.
absl::Status DeadlineError(std::span<const Slot> silent, std::span<const Slot> not_taking);

class ExchangeBackend {
 public:
  virtual ~ExchangeBackend() = default;
  virtual std::string_view name() const = 0;

  virtual absl::StatusOr<std::string> StandbyAddress() = 0;
  // Prepares to talk to every peer of the view; does not wait for peers that have not opened yet.
  // Frames of faster peers may be waiting already. Unavailable names a peer that is known to be gone.
  virtual absl::Status Open(const EpochView& view, Micros timeout) = 0;
  // Sends one frame to every peer but self (`sends` in rising order of worker ids) and receives one
  // from each. The nth frame from a peer belongs to the nth Exchange here. Allocates nothing in
  // steady state.
  virtual absl::Status Exchange(std::span<const OutFrame> sends, FrameSink& sink,
                                Micros timeout) = 0;
  // Every Exchange or Open of an epoch lower than this one, running or later, returns Aborted soon.
  virtual void AbortBelow(Epoch epoch) = 0;
  virtual void Close() = 0;  // never blocks long, never throws
  virtual ExchangeWait Waiting() const = 0;
  virtual const ExchangeStats& stats() const = 0;
};

}  // namespace conclave
