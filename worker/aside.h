// The epoch that is made ready beside the running one (docs/decisions/0007-change-over.md): what
// the core remembers of it. Steps go on meanwhile.
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

  // A newer Load drops what an older one began; an older one is ignored. `refusal`: why this worker
  // cannot make anything ready now.
  void Begin(const Load& load, const absl::Status& refusal, WorkerOutbox& outbox);
  void On(const LoadedAside& loaded, WorkerOutbox& outbox);
  void On(const Connect& connect, WorkerOutbox& outbox);
  void On(const ConnectedAside& connected, WorkerOutbox& outbox);

  // The tables of exactly this epoch when it is connected. Otherwise whatever there is, is dropped:
  // an epoch that comes the old way ends what was made ready for any other.
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
  Prepare prepared_;  // as it will come
  Slot slot_;
  std::optional<EpochTables> tables_;
};

// InternalError naming the first expert that `tables` give this worker and the shard lacks.
absl::Status CheckHeld(const EpochTables& tables, const ModelConfig& model, const Shard& shard);

}  // namespace conclave
