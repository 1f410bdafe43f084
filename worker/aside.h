// The core's state of a staged epoch: its experts are loaded and its exchange is connected while
// steps of the running epoch go on (docs/decisions/0007-change-over.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "worker/core.h"
#include "worker/epoch_tables.h"
#include "worker/shard.h"

namespace conclave {

class Aside {
 public:
  // Everything here outlives it.
  Aside(const WorkerConfig& config, const ModelConfig& model, const Shard& shard)
      : config_(config), model_(model), shard_(shard) {}

  // A newer Load replaces an older one; an older one is ignored. `refusal`: why this worker cannot
  // stage an epoch now, or OK.
  void Begin(const Load& load, const absl::Status& refusal, WorkerOutbox& outbox);
  void On(const LoadedAside& loaded, WorkerOutbox& outbox);
  void On(const Connect& connect, WorkerOutbox& outbox);
  void On(const ConnectedAside& connected, WorkerOutbox& outbox);

  // The tables of the staged epoch, if `prepare` is for exactly that epoch and it is connected.
  // Otherwise the staged epoch is discarded.
  std::optional<EpochTables> Take(const Prepare& prepare, WorkerOutbox& outbox);
  void Drop(WorkerOutbox& outbox);
  bool active() const { return stage_ != Stage::kNone; }

 private:
  enum class Stage : std::uint8_t { kNone, kLoading, kLoaded, kConnecting, kConnected };

  const WorkerConfig& config_;
  const ModelConfig& model_;
  const Shard& shard_;
  Stage stage_ = Stage::kNone;
  Epoch newest_;      // of all Loads so far
  Prepare prepared_;  // the Prepare that must follow
  Slot slot_;
  std::optional<EpochTables> tables_;
};

// InternalError names the first expert that `tables` assign to this worker and that the shard lacks.
absl::Status CheckHeld(const EpochTables& tables, const ModelConfig& model, const Shard& shard);

}  // namespace conclave
