#include "worker/aside.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace conclave {

absl::Status CheckHeld(const EpochTables& tables, const ModelConfig& model, const Shard& shard) {
  for (int l = 0; l < model.moe_layers; ++l) {
    for (const std::uint16_t expert : tables.Owned(l, tables.self())) {
      if (shard.Holds(l, expert)) continue;
      return absl::InternalError(absl::StrCat("layer ", l, " expert ", expert, " was not loaded"));
    }
  }
  return absl::OkStatus();
}

void Aside::Drop(WorkerOutbox& outbox) {
  if (std::exchange(stage_, Stage::kNone) == Stage::kNone) return;
  tables_.reset();
  outbox.push_back(DropAside{});
}

void Aside::Begin(const Load& load, const absl::Status& refusal, WorkerOutbox& outbox) {
  if (load.epoch <= newest_) return;
  newest_ = load.epoch;
  Drop(outbox);
  if (!refusal.ok()) {
    Loaded no{.epoch = load.epoch, .ok = false, .error = std::string(refusal.message())};
    outbox.push_back(Tell{std::move(no)});
    return;
  }
  stage_ = Stage::kLoading;
  slot_ = load.slot;
  prepared_ = {.epoch = load.epoch, .peers = {}, .placement = load.placement};
  outbox.push_back(LoadAside{load.epoch, load.placement, load.slot});
}

void Aside::On(const LoadedAside& loaded, WorkerOutbox& outbox) {
  if (stage_ != Stage::kLoading || loaded.epoch != prepared_.epoch) return;
  stage_ = loaded.status.ok() ? Stage::kLoaded : Stage::kNone;
  outbox.push_back(Tell{Loaded{.epoch = loaded.epoch,
                               .ok = loaded.status.ok(),
                               .error = std::string(loaded.status.message()),
                               .address = loaded.address,
                               .expert_bytes = shard_.expert_bytes()}});
}

void Aside::On(const Connect& connect, WorkerOutbox& outbox) {
  if (connect.epoch < newest_) return;
  absl::Status status;
  if (stage_ != Stage::kLoaded || connect.epoch != prepared_.epoch) {
    status = absl::FailedPreconditionError(
        absl::StrCat("nothing was loaded for epoch ", connect.epoch.number));
  } else {
    prepared_.peers = connect.peers;
    absl::StatusOr<EpochTables> tables = EpochTables::Make({.prepare = prepared_,
                                                            .model = model_,
                                                            .uuid = config_.uuid,
                                                            .rows_max = config_.rows_max});
    status = tables.status();
    if (tables.ok() && tables->slot(tables->self()) != slot_) {
      status = absl::InvalidArgumentError(absl::StrCat("loaded for slot ", slot_.value));
    }
    if (status.ok()) status = CheckHeld(*tables, model_, shard_);
    if (status.ok()) tables_ = *std::move(tables);
  }
  if (!status.ok()) {
    Connected no{.epoch = connect.epoch, .ok = false, .error = std::string(status.message())};
    outbox.push_back(Tell{std::move(no)});
    return Drop(outbox);
  }
  stage_ = Stage::kConnecting;
  EpochView view{.epoch = connect.epoch, .self = slot_, .peers = {}};
  for (const ViewPeer& peer : connect.peers) view.peers.push_back({peer.slot, peer.address});
  outbox.push_back(ConnectAside{std::move(view)});
}

void Aside::On(const ConnectedAside& connected, WorkerOutbox& outbox) {
  if (stage_ != Stage::kConnecting || connected.epoch != prepared_.epoch) return;
  outbox.push_back(Tell{Connected{.epoch = connected.epoch,
                                  .ok = connected.status.ok(),
                                  .error = std::string(connected.status.message()),
                                  .unreachable = connected.unreachable}});
  if (!connected.status.ok()) return Drop(outbox);
  stage_ = Stage::kConnected;
}

std::optional<EpochTables> Aside::Take(const Prepare& prepare, WorkerOutbox& outbox) {
  if (stage_ != Stage::kConnected || prepare != prepared_) {
    Drop(outbox);
    return std::nullopt;
  }
  stage_ = Stage::kNone;
  return std::exchange(tables_, std::nullopt);
}

}  // namespace conclave
