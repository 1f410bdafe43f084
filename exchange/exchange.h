// The all-to-all between workers, seen from above: one frame to and from each peer, per exchange.
//
// Backends (exchange/backend/): `local` (threads in one process), `ucx` (between processes), later
// `mpi` and `nccl`. A backend moves bytes in order and knows nothing of experts; what is inside a
// frame, and whether it may be used, is exchange/frame.h's business, in one place for all backends.
//
// Life: StandbyAddress() names a fresh endpoint; it travels to the peers through the control plane;
// Open(view) turns that endpoint into the epoch's and makes a new standby. Nothing that was sent to
// an older endpoint can arrive at a newer one: that is the fence between epochs.
//
// Threading: all calls from one thread at a time, except AbortBelow and Waiting, which any thread
// may call at any time. (A backend may be opened on one thread and handed to another.) Backends of
// one process do not disturb one another: the next epoch is opened on a second one while the first
// exchanges. Errors: Unavailable (a peer is gone), DeadlineExceeded (frames did not come in time),
// both with the peers they are about, for programs to read (PeersOf) and in the message for people;
// Aborted (AbortBelow was called), ResourceExhausted (a frame did not fit the sink), DataLoss (a
// transport broke its word); and, for the caller's own mistakes, InvalidArgument and
// FailedPrecondition. After any of the former the epoch is over for this backend: Close, then Open
// a new one. What was given to a failed Exchange (frames and room) stays allocated, if unused, until
// Close: a transfer under way may still end there.
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

// Who takes part in an epoch. `peers` has every live slot in rising order, this worker's own
// included.
struct EpochView {
  Epoch epoch;
  Slot self;
  std::vector<Peer> peers;
};

struct OutFrame {
  Slot to;
  std::span<const std::byte>
      bytes;  // whole frame; the caller keeps it unchanged until Exchange returns
};

// Where arriving frames are put. Reserve hands out 64-byte aligned room for one whole frame, once
// per source and exchange; an empty span means "does not fit" and ends the exchange. Called on the
// thread that called Exchange.
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

// Where a running exchange stands, for the heartbeat. A snapshot that may be torn: a hint.
struct ExchangeWait {
  std::uint64_t exchange = 0;  // the how-maniest of the epoch, from 1; 0: none runs
  SlotSet missing;             // peers whose frames have not come
  std::uint64_t looks = 0;     // how often its thread has looked for frames: rises while it runs
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
  // Makes ready to talk to every peer of the view; does not wait for peers that have yet to open.
  // Frames of faster peers may already be waiting. Unavailable names a peer that is known to be
  // gone.
  virtual absl::Status Open(const EpochView& view, Micros timeout) = 0;
  // Sends one frame to every peer but self (`sends` in rising slot order) and receives one from
  // each. Exchanges pair up in order: the nth frame from a peer answers the nth Exchange here.
  // Allocates nothing in steady state.
  virtual absl::Status Exchange(std::span<const OutFrame> sends, FrameSink& sink,
                                Micros timeout) = 0;
  // Makes a running or later Exchange or Open of any epoch lower than this one return Aborted soon.
  virtual void AbortBelow(Epoch epoch) = 0;
  virtual void Close() = 0;  // never blocks long, never throws
  virtual ExchangeWait Waiting() const = 0;
  virtual const ExchangeStats& stats() const = 0;
};

}  // namespace conclave
