// Who takes part in an epoch and who serves which expert, in the forms that dispatch and experts
// read every layer. Made once per epoch.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "exchange/dispatch_plan.h"
#include "model/config.h"
#include "protocol/control.h"

namespace conclave {

// Peers are counted 0..peers-1 in rising slot order, this worker included.
class EpochTables {
 public:
  struct Args {
    const Prepare& prepare;
    const ModelConfig& model;
    const std::string& uuid;  // this worker's
    std::int32_t rows_max = 0;
  };
  // InvalidArgument: peers out of order or without this worker, a placement that does not fit the
  // model, that is incomplete, or that names a slot which is no peer.
  static absl::StatusOr<EpochTables> Make(const Args& args);

  Epoch epoch() const { return epoch_; }
  int peers() const { return static_cast<int>(slots_.size()); }
  int self() const { return self_; }
  Slot slot(int peer) const { return slots_[static_cast<std::size_t>(peer)]; }
  int PeerAt(Slot slot) const;  // -1: no peer

  // The peer that serves each expert for rows whose home is here. [experts]
  std::span<const std::uint8_t> Servers(int moe_layer) const;
  // Experts of the layer that a peer owns, rising.
  std::span<const std::uint16_t> Owned(int moe_layer, int peer) const;

  // Of the layer at hand.
  DispatchPlan& dispatch() { return dispatch_; }

 private:
  EpochTables(const Args& args, std::vector<Slot> slots, int self);

  Epoch epoch_;
  std::vector<Slot> slots_;
  int self_;
  int experts_;
  Placement placement_;
  std::vector<std::uint8_t> servers_;  // [moe layers, experts]
  DispatchPlan dispatch_;
};

}  // namespace conclave
